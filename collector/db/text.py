"""Text from strangers, made fit to be stored and shown."""


def one_line(text: str) -> str:
    """`text` without control characters: no terminal obeys it, and every database takes it."""
    return "".join(character for character in text if character.isprintable())

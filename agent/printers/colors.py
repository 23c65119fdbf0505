"""Which colour a supply has: as the printer tells it, or as its description says in the languages that panels speak."""

import re

WORDS = {
    "black": ("black", "zwart", "schwarz", "noir", "noire", "nero", "negro", "preto", "bk", "blk"),
    "cyan": ("cyan", "cyaan", "ciano", "cian"),
    "magenta": ("magenta",),
    "yellow": ("yellow", "geel", "gelb", "jaune", "giallo", "amarillo", "amarelo"),
    "gray": ("gray", "grey", "grijs", "grau", "gris", "grigio", "cinza"),
    "red": ("red", "rood", "rot", "rouge", "rosso", "rojo", "vermelho"),
    "green": ("green", "groen", "grün", "vert", "verde"),
    "blue": ("blue", "blauw", "blau", "bleu", "blu", "azul"),
    "white": ("white", "wit", "weiß", "blanc", "bianco", "blanco", "branco"),
    "orange": ("orange", "oranje", "naranja", "laranja"),
}
PREFIXES = ("photo", "matte", "light", "vivid")
_COLOR_OF = {
    **{word: color for color, words in WORDS.items() for word in words},
    # In one word: `Photoblack`.
    **{f"{one}{word}": f"{one} {color}" for one in PREFIXES for color, words in WORDS.items() for word in words},
    "pbk": "photo black",
    "mbk": "matte black",
}
_LETTERS = {"K": "black", "C": "cyan", "M": "magenta", "Y": "yellow"}
_LETTER = re.compile(r"[\[(]([KCMY])[\])]")  # `Toner [K]`; without brackets a letter may mean anything
_WORD = re.compile(r"[^\W\d_]+")
_HEX = re.compile(r"^#([0-9a-fA-F]{6})$")
NAMES_OF_HEX = {
    "000000": "black",
    "00FFFF": "cyan",
    "FF00FF": "magenta",
    "FFFF00": "yellow",
    "FFFFFF": "white",
    "FF0000": "red",
    "00FF00": "green",
    "0000FF": "blue",
}


def color_in(text: str) -> str | None:
    """The one colour that a text names, such as `light cyan`; None if it names none or several."""
    words = [word.lower() for word in _WORD.findall(text)]
    found = {}
    for position, word in enumerate(words):
        color = _COLOR_OF.get(word)
        if color is not None:
            prefix = words[position - 1] if position and words[position - 1] in PREFIXES else ""
            found[color] = f"{prefix} {color}".strip()
    if not found:
        found = {_LETTERS[letter]: _LETTERS[letter] for letter in _LETTER.findall(text)}
    return next(iter(found.values())) if len(found) == 1 else None


def color_of_hex(text: str) -> str | None:
    """Of IPP's `#00FFFF`; its other forms are names, or several at once (`#00FFFF#FF00FF#FFFF00`): no colour then."""
    match = _HEX.match(text)
    return NAMES_OF_HEX.get(match[1].upper()) if match else None

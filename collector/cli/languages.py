"""The languages that people are written to in, as options take them."""

import click

from collector.fleet.people import Language

LANGUAGES = click.Choice([language.value for language in Language])

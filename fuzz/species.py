"""Fuzzes the reader of species names: `python fuzz/species.py -runs=100000`.

A name is read or refused in a line; what was read is read again when it is spelled.
"""

import sys

import atheris

with atheris.instrument_imports(include=["astrokeras.chemistry"]):
    from astrokeras.chemistry.species import find_elements, parse_species

from astrokeras.errors import InputError


def check(data: bytes) -> None:
    """Read a name with declared elements, all made of the bytes."""
    source = atheris.FuzzedDataProvider(data)
    declared = [source.ConsumeUnicode(3) for _ in range(source.ConsumeIntInRange(0, 3))]
    name = source.ConsumeUnicode(80)
    try:
        elements = find_elements([name], declared)
        species = parse_species(name, elements)
    except InputError as error:
        if len(str(error)) > 1500:
            raise ValueError("a refusal without end") from error
        return
    counts = species.elements.items()
    # With 13 of an element in front, carbon could as well be the isotope.
    if counts and all(e.isalpha() and count < 10 for e, count in counts):
        spelled = "".join(f"{element}{count}" for element, count in counts)
        again = parse_species(spelled, tuple(species.elements))
        assert again.elements == species.elements, (name, spelled)


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()

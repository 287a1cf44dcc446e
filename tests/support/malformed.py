"""A catalogue of malformed input: real files, each with one thing wrong.

A case is a command line, what is done to the files of its folder before it runs, and
what its one line must say. The folder holds `tracers.h5` (a cut of the sample that
ships), `raw.h5` and `table.h5` (pandas' two layouts), `run.csv` (UCLCHEM's output),
`initial.csv` and the preset as `mine.keras`.
"""

import gzip
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from frames import hdf, raw, run, write_csv
from hostile import remake

from astrokeras.data.tracers.reader import TracerStore
from astrokeras.data.tracers.writer import TracerWriter

STATES = 12
INSPECT = ("data", "inspect", "tracers.h5")
EVALUATE = ("evaluate", "mine.keras", "tracers.h5")
PREDICT = ("predict", "mine.keras", "tracers.h5", "out.h5")
IMPORT = ("data", "import", "raw.h5", "--out", "out.h5", "split.by=tracer")
TRAIN = (
    "train",
    "name=out",
    "runs_dir=.",
    "cache_dir=cache",
    "dataset.path=tracers.h5",
)

Change = Callable[[Path], Any]


@dataclass(frozen=True)
class Case:
    """One malformed input.

    Attributes:
        kind: What is malformed.
        name: In which way.
        words: The command line, run in the folder.
        change: What spoils the folder's files.
        expected: What the one line must say.
    """

    kind: str
    name: str
    words: tuple[str, ...]
    expected: tuple[str, ...]
    change: Change = lambda folder: None

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}"


def make_folder(folder: Path, sample: Path, preset: Path) -> None:
    """Write the sound files that the cases spoil."""
    with TracerStore(sample) as store:
        rows = np.concatenate([store.rows(name)[:3] for name in ("train", "test")])
        rows = np.append(rows, store.rows("validation")[:2])
        block = store.read(np.sort(rows))
        told = {"source": "sample", "elements": store.attributes["elements"]}
        names = {"species": store.species, "parameters": store.parameters}
        units = store.units
    block.abundances = block.abundances[:, :STATES]
    block.physical, block.time = block.physical[:, : STATES - 1], block.time[:, :STATES]
    block.length[:] = STATES
    with TracerWriter(
        folder / "tracers.h5", units=units, states=STATES, attributes=told, **names
    ) as writer:
        writer.append(block)
    frame = raw(tracers=12)
    hdf(folder / "raw.h5", frame)
    hdf(folder / "table.h5", frame, format="table")
    write_csv(folder / "run.csv", run())
    shutil.copy(sample.with_name("initial_abundances.csv"), folder / "initial.csv")
    shutil.copy(preset, folder / "mine.keras")


# What is done to files


def edit(name: str, where: Any, value: Any, file: str = "tracers.h5") -> Change:
    """Set some values of a dataset."""

    def change(folder: Path) -> None:
        with h5py.File(folder / file, "r+") as opened:
            opened[name][where] = value

    return change


def redo(name: str, make: Callable[[Any], Any], file: str = "tracers.h5") -> Change:
    """Replace a dataset by what `make` returns of its values; `None` removes it."""

    def change(folder: Path) -> None:
        with h5py.File(folder / file, "r+") as opened:
            attributes = dict(opened[name].attrs)
            values = make(opened[name][()])
            del opened[name]
            if values is not None:
                opened[name] = values
                if isinstance(values, np.ndarray):
                    opened[name].attrs.update(attributes)

    return change


def mark(key: str, value: Any, name: str = "/") -> Change:
    """Set an attribute, or remove it."""

    def change(folder: Path) -> None:
        with h5py.File(folder / "tracers.h5", "r+", libver="latest") as file:
            if key == "note":
                # Attributes of this size need the layout of new groups.
                file.create_group("more").attrs[key] = value
            elif value is None:
                del file[name].attrs[key]
            else:
                file[name].attrs[key] = value

    return change


def cut(file: str, share: float) -> Change:
    """Truncate a file."""

    def change(folder: Path) -> None:
        data = (folder / file).read_bytes()
        (folder / file).write_bytes(data[: int(share * len(data))])

    return change


def turn(place: int, file: str = "tracers.h5", count: int = 1) -> Change:
    """Flip all bits of some bytes."""

    def change(folder: Path) -> None:
        data = bytearray((folder / file).read_bytes())
        for at in range(place, place + count):
            data[at] ^= 0xFF
        (folder / file).write_bytes(data)

    return change


def spoil_chunk(name: str, share: float) -> Change:
    """Flip a byte of the first packed chunk of a dataset."""

    def change(folder: Path) -> None:
        with h5py.File(folder / "tracers.h5") as file:
            chunk = file[name].id.get_chunk_info(0)
        turn(chunk.byte_offset + int(share * chunk.size))(folder)

    return change


def frame(spoil: Callable[[Any], Any], **options: Any) -> Change:
    """Write `raw.h5` again, of a spoilt table."""

    def change(folder: Path) -> None:
        table = raw(tracers=12)
        changed = spoil(table)
        with warnings.catch_warnings():
            # Pandas warns of words, and that it writes nothing of an empty table.
            warnings.simplefilter("ignore")
            hdf(
                folder / "raw.h5",
                table if changed is None else changed,
                mode="w",
                **options,
            )

    return change


def text(file: str, make: Callable[[list[str]], Any]) -> Change:
    """Write a text file again, of changed lines or as bytes."""

    def change(folder: Path) -> None:
        lines = (
            (folder / file).read_text().splitlines() if (folder / file).exists() else []
        )
        made = make(lines)
        if isinstance(made, bytes):
            (folder / file).write_bytes(made)
        else:
            (folder / file).write_text(
                "\n".join(lines if made is None else made) + "\n"
            )

    return change


def model(make: Callable[[dict[str, Any]], Any]) -> Change:
    """Write `mine.keras` again with another configuration."""

    def change(folder: Path) -> None:
        remake(folder / "mine.keras", folder / "changed.keras", config=make)
        (folder / "changed.keras").replace(folder / "mine.keras")

    return change


def at(row: int, column: str, value: Any) -> Callable[[Any], Any]:
    """Set a cell of a raw table."""

    def spoil(table: Any) -> None:
        table[column] = table[column].astype("float64")
        table.loc[row, column] = value

    return spoil


# The cases


DATASETS = {
    "abundances": "f4",
    "physical": "f4",
    "time": "f8",
    "length": "i4",
    "tracer": "i8",
    "simulation": "i8",
    "species": "text",
    "parameters": "text",
}


def damaged() -> Iterator[Case]:
    """Files that are not whole, or not what their name says."""
    unreadable = ("cannot be read as HDF5", "fetch or make it again")
    for share in (0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.9999):
        for file, words in (("tracers.h5", INSPECT), ("raw.h5", IMPORT)):
            yield Case(
                "damaged",
                f"{file} cut at {share}",
                words,
                (file, *unreadable),
                cut(file, share),
            )
    for place in range(8):
        yield Case(
            "damaged",
            f"signature, byte {place}",
            INSPECT,
            ("tracers.h5", *unreadable),
            turn(place),
        )
    for name in ("abundances", "physical", "time", "tracer"):
        for share in (0.3, 0.6, 0.95):
            yield Case(
                "damaged",
                f"chunk of {name} at {share}",
                INSPECT,
                ("tracers.h5",),
                spoil_chunk(name, share),
            )
    for name, content in {
        "text": b"Time, Density\n1, 2\n",
        "zip": b"PK\x03\x04" + bytes(100),
        "zeros": bytes(4096),
        "signature alone": b"\x89HDF\r\n\x1a\n",
        "noise": np.random.default_rng(0).bytes(9999),
    }.items():
        yield Case(
            "damaged",
            f"{name} called tracers.h5",
            INSPECT,
            ("tracers.h5", *unreadable),
            lambda folder, content=content: (folder / "tracers.h5").write_bytes(
                content
            ),
        )


def layouts() -> Iterator[Case]:
    """Datasets that are missing or of another kind, shape or place."""
    for name, kind in DATASETS.items():
        also = (name, "tracers.h5")
        remove = redo(name, lambda values: None)
        # Tracks, which lack abundances, may be looked into.
        words = TRAIN if name == "abundances" else INSPECT
        yield Case("layout", f"{name} missing", words, (*also, "missing"), remove)
        other = (
            (lambda v: np.ones(len(v)))
            if kind == "text"
            else (lambda v: v.astype("S8"))
        )
        yield Case(
            "layout",
            f"{name} of another type",
            INSPECT,
            (*also, "must hold"),
            redo(name, other),
        )
        more = redo(name, lambda values: np.asarray(values)[None])
        yield Case(
            "layout", f"{name} with an axis more", INSPECT, (*also, "axes"), more
        )
        shorter = redo(name, lambda values: values[:-1])
        yield Case("layout", f"{name} shorter", INSPECT, ("tracers.h5",), shorter)
        none = redo(name, lambda values: values[:0])
        yield Case("layout", f"{name} empty", INSPECT, (*also, "axes"), none)
        link = redo(name, lambda values: h5py.SoftLink("/elsewhere"))
        yield Case("layout", f"{name} a dead link", INSPECT, also, link)
        out = redo(name, lambda values: h5py.ExternalLink("/etc/passwd", "x"))
        yield Case(
            "layout", f"{name} in another file", INSPECT, (*also, "/etc/passwd"), out
        )
    complex_ = redo("abundances", lambda values: values.astype("c8"))
    yield Case(
        "layout", "complex abundances", INSPECT, ("abundances", "complex64"), complex_
    )
    pairs = redo("time", lambda values: values.astype([("a", "f8")]))
    yield Case("layout", "compound times", INSPECT, ("time", "must hold"), pairs)
    state = redo("abundances", lambda values: values[:, :1])
    yield Case(
        "layout",
        "state 0 alone to be judged",
        EVALUATE,
        ("state 0 alone", "predict"),
        state,
    )
    yield Case("layout", "state 0 alone to train on", TRAIN, ("only state 0",), state)
    none = redo("abundances", lambda values: None)
    yield Case("layout", "no state 0", PREDICT, ("tracers.h5", "--initial"), none)


def values() -> Iterator[Case]:
    """Numbers that no tracer can have."""
    odd = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf, "negative": -1e-3, "2": 2.0}
    for name, value in odd.items():
        change = edit("abundances", (1, 5, 3), value)
        said = ("tracers.h5", "state 5: H2+ is", "0 to 1", "correct the data")
        yield Case("value", f"abundance {name}", INSPECT, said, change)
        start = edit("abundances", (1, 0, 3), value)
        yield Case(
            "value", f"state 0 {name}", PREDICT, ("tracers.h5", "state 0", "H2+"), start
        )
    for column, parameter in enumerate(("Density", "Radfield", "Av", "gasTemp")):
        for name, value in {
            "nan": np.nan,
            "inf": np.inf,
            "0": 0.0,
            "negative": -1.0,
        }.items():
            change = edit("physical", (1, 5, column), value)
            said = ("tracers.h5", f"state 5: {parameter} is", "positive and finite")
            words = PREDICT if name == "0" else INSPECT
            yield Case("value", f"{parameter} {name}", words, said, change)
    times = {
        "nan": np.nan,
        "inf": np.inf,
        "equal": "before",
        "back": -5.0,
        "-inf": -np.inf,
    }
    for name, value in times.items():

        def change(folder: Path, value: Any = value) -> None:
            with h5py.File(folder / "tracers.h5", "r+") as file:
                time = file["time"]
                time[1, 5] = time[1, 4] if value == "before" else value

        said = ("tracers.h5", "state 5: time is")
        yield Case("value", f"time {name}", INSPECT, said, change)
    for value in (-1, 0, 1, 13, 2**31 - 1):
        change = edit("length", (1,), value)
        said = ("tracers.h5", f"'length' holds {value}", "2 to 12")
        yield Case("value", f"length {value}", INSPECT, said, change)
    for value in (3, 7, 200):
        change = edit("split", (1,), value)
        yield Case(
            "value", f"split {value}", INSPECT, ("'split' holds", "0, 1 or 2"), change
        )
    for code, name in enumerate(("train", "validation", "test")):

        def change(folder: Path, code: int = code) -> None:
            with h5py.File(folder / "tracers.h5", "r+") as file:
                split = file["split"][:]
                file["split"][:] = np.where(split == code, (code + 1) % 3, split)

        words = EVALUATE if name == "test" else TRAIN
        yield Case(
            "value", f"no {name} tracer", words, ("tracers.h5", f"{name!r}"), change
        )
    remove = redo("split", lambda values: None)
    yield Case(
        "value", "no split to train on", TRAIN, ("'split'", "data split"), remove
    )
    yield Case(
        "value", "no split to evaluate", EVALUATE, ("'split'", "--split all"), remove
    )
    steps = redo("time", lambda values: values / 50)
    yield Case("value", "steps never trained", PREDICT, ("steps by", "resample"), steps)
    steps = redo("time", lambda values: values * 50)
    yield Case("value", "steps too long", EVALUATE, ("steps by", "resample"), steps)


def names() -> Iterator[Case]:
    """Names and attributes that cannot be read."""

    def species(place: int, name: str | bytes) -> Change:
        return edit("species", place, name)

    wrong = {
        "twice": ("H", "'H' twice"),
        "empty": ("", "''"),
        "blank": ("  ", "' ' as a name"),
        "no formula": ("Vorticity", "'Vorticity' cannot be read"),
        "Unicode": ("H₂O", "'H₂O' cannot be read"),
        "digits of another script": ("H٣", "cannot be read"),
        "a space within": ("H 2O", "'H 2O' cannot be read"),
        "total ice": ("$H2O", "'$H2O' is total ice"),
        "mixed signs": ("H+-", "'H+-' cannot be read"),
        "zero atoms": ("H0", "'H0' cannot be read"),
        "long": ("C" * 5000, "cannot be read"),
        "a line break": ("H\n2", "as a name"),
        "not UTF-8": (b"\xff\xfe", "cannot be read"),
    }
    for name, (value, said) in wrong.items():
        yield Case(
            "name", f"species {name}", INSPECT, ("tracers.h5", said), species(5, value)
        )
    other = species(5, "OH2")
    said = ("tracers.h5", "'species'", "lacks 1", "(OH2)", "same network")
    yield Case("name", "species of another network", PREDICT, said, other)
    yield Case("name", "species of another network, judged", EVALUATE, said, other)

    def swap(folder: Path) -> None:
        with h5py.File(folder / "tracers.h5", "r+") as file:
            listed = file["species"][:]
            file["species"][:2] = listed[1::-1]

    said = ("another order", "column 0", "reorder")
    yield Case("name", "species in another order", PREDICT, said, swap)
    rename = edit("parameters", 2, "rho")
    yield Case(
        "name", "another parameter", PREDICT, ("'parameters' lacks Av", "rho"), rename
    )
    broken = edit("parameters", 2, "A\nv")
    said = ("tracers.h5", "'parameters'", "as a name")
    yield Case("name", "a parameter of two lines", INSPECT, said, broken)
    twice = edit("parameters", 2, "Density")
    yield Case("name", "a parameter twice", INSPECT, ("'Density' twice",), twice)
    units = np.array(["cm^-3", "Habing", "mag", "eV"], object)
    unit = mark("units", units, "parameters")
    yield Case("name", "another unit", PREDICT, ("'cm^-3'", "convert"), unit)
    for name, value in {"no": None, "too few": ["K"], "a number for": 3}.items():
        change = mark("units", value, "parameters")
        yield Case("name", f"{name} units", INSPECT, ("attribute 'units'",), change)
    for name, value in {
        "no": None,
        "a later": "astrokeras-tracers/2",
        "an earlier": "astrokeras-tracers/0",
        "another": "netcdf",
        "a number as": 1,
        "a list as": ["astrokeras-tracers/1", "x"],
        "an empty": "",
        "bytes that are no UTF-8 as": np.bytes_(b"\xff\xfe"),
        "two lines as": "astrokeras\ntracers",
    }.items():
        said = ("tracers.h5", "'format' is", "data import")
        yield Case("name", f"{name} format", INSPECT, said, mark("format", value))
    for name, value in {
        "text": "x" * 2 * 10**6,
        "bytes": np.bytes_(b"x" * 2 * 10**6),
        "numbers": np.ones(10**6),
    }.items():
        said = ("tracers.h5", "attribute 'note'", "remove it")
        yield Case(
            "name", f"huge attribute of {name}", INSPECT, said, mark("note", value)
        )
    for name, value in {"text": "many", "a number": 3, "no symbols": ["Xx"]}.items():
        change = mark("elements", value)
        yield Case(
            "name", f"elements as {name}", INSPECT, ("tracers.h5", "elements"), change
        )


def raw_files() -> Iterator[Case]:
    """Raw files that cannot become tracers."""
    for column in ("Time", "Density", "radfield", "Av", "gasTemp", "Tracer"):
        change = frame(lambda table, column=column: table.drop(columns=column))
        yield Case(
            "raw",
            f"no column {column}",
            IMPORT,
            ("raw.h5:df", column, "missing"),
            change,
        )
    for name, value in {
        "nan": np.nan,
        "inf": np.inf,
        "negative": -1e-3,
        "2": 2.0,
    }.items():
        said = ("raw.h5:df", "tracer 102, state 3: CO is")
        yield Case("raw", f"abundance {name}", IMPORT, said, frame(at(27, "CO", value)))
    for name, value in {"nan": np.nan, "inf": np.inf, "0": 0.0, "1e39": 1e39}.items():
        said = ("raw.h5:df", "tracer 102, state 3: Density is")
        yield Case(
            "raw", f"Density {name}", IMPORT, said, frame(at(27, "Density", value))
        )
    for name, value in {"nan": np.nan, "back": 5.0, "-inf": -np.inf}.items():
        said = ("raw.h5:df", "tracer 102, state 3: time is")
        yield Case("raw", f"time {name}", IMPORT, said, frame(at(27, "Time", value)))
    for name, value in {
        "nan": np.nan,
        "half": 1.5,
        "negative": -1.0,
        "huge": 1e300,
    }.items():
        said = ("raw.h5:df", "row 27: Tracer is", "whole numbers")
        yield Case(
            "raw", f"tracer {name}", IMPORT, said, frame(at(27, "Tracer", value))
        )
    odd = {
        "no formula": ("Vorticity", "'Vorticity' cannot be read"),
        "Unicode": ("H₂O", "cannot be read"),
        "total ice": ("$H2O", "total ice"),
        "a column twice": ("CO ", "'CO' occurs twice"),
        "no name": (" ", "''"),
    }
    for name, (column, said) in odd.items():
        change = frame(lambda table, column=column: table.assign(**{column: 1e-9}))
        yield Case("raw", f"species with {name}", IMPORT, ("raw.h5:df", said), change)
    apart = frame(lambda table: table.sort_values(["Time", "Tracer"]))
    yield Case("raw", "rows apart", IMPORT, ("not consecutive", "sort"), apart)
    single = frame(lambda table: table[::12])
    yield Case("raw", "single states", IMPORT, ("no tracer of at least",), single)
    few = frame(lambda table: table[:24])
    yield Case("raw", "too few to split", IMPORT, ("too few", "split"), few)
    empty = frame(lambda table: table[:0], format="table")
    yield Case("raw", "no rows", IMPORT, ("raw.h5",), empty)
    series = frame(lambda table: table["CO"])
    yield Case("raw", "a series", IMPORT, ("raw.h5", "frame"), series)
    words = frame(lambda table: table.assign(CO="much"))
    yield Case(
        "raw", "a column of words", IMPORT, ("Python objects", "never unpickled"), words
    )
    alone = (*IMPORT[:-1], "split.by=simulation")
    bare = frame(lambda table: table.drop(columns="Simulation"))
    yield Case(
        "raw", "no simulations", alone, ("no simulations", "split.by=tracer"), bare
    )
    this = (*IMPORT, "alignment=this", "initial_abundances=initial.csv")
    more = frame(lambda table: table.assign(FE=1e-9))
    yield Case("raw", "species that have no start", this, ("initial.csv", "FE"), more)
    yield Case(
        "raw",
        "no start named",
        (*this[:-1], "initial_abundances=null"),
        ("`dataset.initial_abundances`",),
    )
    yield Case(
        "raw",
        "a start that is not there",
        (*this[:-1], "initial_abundances=none.csv"),
        ("none.csv", "no such file"),
    )
    block = "df/block0_values"
    for name, make in {
        "cut": lambda values: values[:-1],
        "of one axis": lambda values: values.ravel(),
        "of words": lambda values: values.astype("S8"),
        "missing": lambda values: None,
        "elsewhere": lambda values: h5py.ExternalLink("/etc/passwd", "x"),
    }.items():
        change = redo(block, make, "raw.h5")
        yield Case("raw", f"block {name}", IMPORT, ("raw.h5",), change)
    csv = ("data", "import", "run.csv", "--out", "out.h5", "--no-split")
    lines: dict[str, Callable[[list[str]], Any]] = {
        "empty": lambda rows: [],
        "a header alone": lambda rows: rows[:1],
        "numbers alone": lambda rows: rows[1:],
        "a word": lambda rows: [*rows[:5], rows[5].replace("E", "x"), *rows[6:]],
        "a short row": lambda rows: [*rows[:5], rows[5][:40], *rows[6:]],
        "NaN": lambda rows: [
            *rows[:5],
            rows[5][: rows[5].rindex(",")] + ", nan",
            *rows[6:],
        ],
        "one row twice": lambda rows: [*rows[:5], rows[4], *rows[5:]],
        "bytes": lambda rows: bytes(range(128, 256)) * 9,
        "NUL": lambda rows: b"Time, Density\n1\x00, 2\n",
        "UTF-16 without its mark": lambda rows: "\n".join(rows).encode("utf-16-le"),
    }
    for name, make in lines.items():
        yield Case("raw", f"CSV of {name}", csv, ("run.csv",), text("run.csv", make))
    for name, (make, said) in tables().items():
        yield Case(
            "raw", f"table of {name}", csv, ("run.csv", said), text("run.csv", make)
        )
    for unit, said in {
        "Density=stone": ("raw_units.Density", "stone", "g/cm^3"),
        "density=g/cm3": ("raw_units.density", "Density"),
        "Time=K": ("raw_units.Time", "kyr"),
    }.items():
        words = (*IMPORT, f"raw_units.{unit}")
        yield Case("raw", f"raw units {unit}", words, said)
    flow = ("data", "import", "flow.x", "--out", "out.h5", "--tracks")
    for name, content in {"cut": b"PAR1", "zeros": b"PAR1" + bytes(999)}.items():

        def parquet(folder: Path, content: bytes = content) -> None:
            (folder / "flow.x").write_bytes(content)

        yield Case("raw", f"Parquet {name}", flow, ("flow.x", "arquet"), parquet)

    def columns(folder: Path) -> None:
        with h5py.File(folder / "flow.x", "w") as file:
            file["Time"], file["Density"] = np.ones(3), np.ones(4)

    yield Case("raw", "columns of two lengths", flow, ("flow.x", "3 rows"), columns)
    given = {
        "nothing there": ("none.h5", "none.h5: no such file"),
        "a folder": (".", "it is a folder; give the path of a file in it"),
        "a similar name": ("Raw.h5", "did you mean 'raw.h5'?"),
        "no such folder": ("none/raw.h5", "its folder none does not exist"),
        "a device": ("/dev/null", "it is a pipe or a device"),
        "a URL": ("https://example.org/raw.h5", "it is a URL; download it"),
        "a tilde": ("~/none/raw.h5", "only shells expand '~'"),
        "the same twice": ("raw.h5 raw.h5", "given twice"),
    }
    for name, (files, said) in given.items():
        words = ("data", "import", *files.split(), "--out", "out.h5")
        yield Case("raw", f"import of {name}", words, (said,))


def tables() -> dict[str, tuple[Callable[[list[str]], Any], str]]:
    """Return what is done to the lines of a CSV file, and what must be said of it."""

    def last(cell: str) -> Callable[[list[str]], Any]:
        """Put another cell at the end of line 6."""

        def make(rows: list[str]) -> None:
            rows[5] = rows[5][: rows[5].rindex(",") + 1] + cell

        return make

    def mixed(rows: list[str]) -> None:
        rows[:] = [row.replace(",", ";") for row in rows]
        rows[5] = rows[5].replace(".", ",")

    missing = "line 6: column 'E-' is {!r}, which denotes a missing value"
    return {
        "no value as -": (last("-"), missing.format("-")),
        "no value as n/a": (last("n/a"), missing.format("n/a")),
        "thousands in quotes": (last('"1,500.0"'), "separates thousands"),
        "thousands": (last("1,500.0"), "line 6: has 20 cells, but the header has 19"),
        "a cell more": (
            lambda rows: [rows[0], *(f"0, {row}" for row in rows[1:])],
            "line 2: has 20 cells, but the header has 19",
        ),
        "units below": (
            lambda rows: [rows[0], ",".join(["K"] * 19), *rows[1:]],
            "line 2: column 'Time' is 'K', not a number",
        ),
        "a row in a comment": (
            lambda rows: [*rows[:5], f"# {rows[5]}", *rows[6:]],
            "line 6: column 'Time' is '#",
        ),
        "mixed decimals": (mixed, "a comma in line 6 and a point in line 2"),
        "two separators": (
            lambda rows: [rows[0].replace(",", ";", 3), *rows[1:]],
            "its header has commas and semicolons",
        ),
        "Latin-1": (
            lambda rows: "\n".join([*rows, "\xe9"]).encode("latin-1"),
            "save it as UTF-8",
        ),
        "Git LFS": (
            lambda rows: b"version https://git-lfs.github.com/spec/v1\noid x\n",
            "a pointer of Git LFS, not the data (`git lfs pull`)",
        ),
        "a web page": (lambda rows: b"<!DOCTYPE html>\n<html>", "a web page"),
        "a pickle": (lambda rows: b"\x80\x04K\x01.", "a pickle, which is never opened"),
        "no bytes": (lambda rows: b"", "empty (0 bytes)"),
        "half a gzip": (
            lambda rows: gzip.compress("\n".join(rows).encode())[:200],
            "cannot be decompressed by gzip",
        ),
        "small letters": (
            lambda rows: [rows[0].replace(" CO,", " co,"), *rows[1:]],
            "species 'co' cannot be read",
        ),
        "a similar column": (
            lambda rows: [rows[0].replace(" gasTemp", " gas_Temp"), *rows[1:]],
            'give `"dataset.parameters={gasTemp:gas_Temp}"`',
        ),
    }


def starts() -> Iterator[Case]:
    """Initial abundances that are none."""
    words = (*PREDICT, "--initial", "initial.csv")
    spoilt: dict[str, tuple[Callable[[list[str]], Any], str]] = {
        "empty": (lambda rows: b"", "empty (0 bytes)"),
        "names alone": (lambda rows: rows[:1], "holds 1 rows"),
        "two rows": (lambda rows: [*rows, rows[1]], "holds 3 rows"),
        "a number less": (
            lambda rows: [rows[0], rows[1][: rows[1].rindex(",")]],
            "same length",
        ),
        "a word": (
            lambda rows: [rows[0], "much" + rows[1][rows[1].index(",") :]],
            "'much'",
        ),
        "nan": (
            lambda rows: [rows[0], "nan" + rows[1][rows[1].index(",") :]],
            "H is nan",
        ),
        "inf": (
            lambda rows: [rows[0], "inf" + rows[1][rows[1].index(",") :]],
            "H is inf",
        ),
        "negative": (
            lambda rows: [rows[0], "-1" + rows[1][rows[1].index(",") :]],
            "H is -1",
        ),
        "above 1": (
            lambda rows: [rows[0], "7" + rows[1][rows[1].index(",") :]],
            "H is 7",
        ),
        "a species less": (
            lambda rows: [rows[0].replace("H2+", "H9+"), rows[1]],
            "H2+",
        ),
        "a species more": (
            lambda rows: [rows[0] + ",XE", rows[1] + ",0.1"],
            "XE = 0.1",
        ),
        "a species twice": (
            lambda rows: [rows[0] + ",H", rows[1] + ",0.1"],
            "'H' twice",
        ),
        "bytes": (lambda rows: bytes(range(128, 256)), "nor text in UTF-8"),
        "one huge cell": (lambda rows: b"x" * 200_000, "is not a CSV file"),
    }
    for name, (make, said) in spoilt.items():
        yield Case(
            "start", name, words, ("initial.csv", said), text("initial.csv", make)
        )
    for name in ("none.csv", "median", "../x"):
        yield Case(
            "start",
            f"named {name}",
            (*PREDICT, "--initial", name),
            (repr(name), "grav"),
        )


def configurations() -> Iterator[Case]:
    """Keys, types, ranges and combinations that are none."""
    # Override, and what the line must name beside it.
    for override, said in {
        "colour=red": "colour",
        "emulator.depth=2": "emulator.depth",
        "dataset.split.kind=x": "kind",
        "+colour=red": "colour",
        "~colour": "colour",
        "emulator.fit=3": "emulator.fit",
        "dataset.parameters=3": "parameters",
        "emulator=huge": "emulator/huge",
        "dataset=none": "dataset/none",
        "autoencoder=../../etc": "autoencoder",
        "seed=many": "seed",
        "seed=-1": "seed is -1",
        "seed=1e30": "seed",
        "seed=null": "seed",
        "seed=[1]": "seed",
        "seed=nan": "seed",
        "ensemble_size=3": "ensemble_size is 3",
        "emulator.members=0": "emulator.members is 0",
        "emulator.members=101": "emulator.members is 101",
        "calibration=1": "calibration is 1",
        "calibration=nan": "calibration is nan",
        "reliability_threshold=0": "reliability_threshold is 0",
        "reliability_threshold=-inf": "reliability_threshold is -inf",
        "precision=float16": "precision is 'float16'",
        "cache_compression=zip": "cache_compression is 'zip'",
        "autoencoder.widths=[]": "autoencoder.widths is empty",
        "autoencoder.widths=[0]": "autoencoder.widths is [0]",
        "autoencoder.widths=[1.5]": "widths",
        "autoencoder.widths=wide": "widths",
        "autoencoder.latents=0": "autoencoder.latents is 0",
        "autoencoder.activation=sigmoid3": "autoencoder.activation is",
        "autoencoder.dropout=1": "autoencoder.dropout is 1",
        "autoencoder.noise=-1": "autoencoder.noise is -1",
        "autoencoder.kind=deep": "autoencoder.kind is 'deep'",
        "autoencoder.fit.batch_size=0": "autoencoder.fit.batch_size is 0",
        "autoencoder.fit.optimizer=sgd": "optimizer is 'sgd'",
        "autoencoder.loss.kind=mse": "loss.kind is 'mse'",
        "emulator.fit.epochs=0": "emulator.fit.epochs is 0",
        "emulator.fit.epochs=1.5": "epochs",
        "emulator.fit.learning_rate=2": "learning_rate is 2",
        "emulator.fit.learning_rate=nan": "learning_rate is nan",
        "emulator.window=[]": "emulator.window is empty",
        "emulator.window=[0]": "emulator.window is [0]",
        "emulator.stride=0": "emulator.stride is 0",
        "emulator.use_timestep=maybe": "use_timestep",
        "emulator.hidden=[70000]": "emulator.hidden is [70000]",
        "dataset.floor=0": "dataset.floor is 0",
        "dataset.floor=1": "dataset.floor is 1",
        "dataset.split.by=cell": "split.by is 'cell'",
        "dataset.split.validation=1.5": "validation is 1.5",
        "dataset.layout=fits": "dataset.layout is 'fits'",
        "name=../elsewhere": "name is '../elsewhere'",
        "name=''": "name is ''",
        "name=a b": "name is 'a b'",
        "dataset.path=none.h5": "none.h5",
        "dataset.path=''": "dataset.path is ''",
        "dataset.path=.": "dataset.path is '.'",
        "dataset.path=${nowhere}": "nowhere",
        "dataset.path=${oc.env:NOWHERE}": "NOWHERE",
        "dataset.initial_abundances=none.csv": "none.csv",
        "seed=${seed}": "seed",
        "[": "[",
        "seed=": "seed",
        "=3": "=3",
        "emulator.window=[12]": "emulator.window",
        "emulator.stride=8 emulator.use_timestep=false": "emulator.stride is 8",
        "emulator.window=[30,60]": "has 11 steps",
        "seed": "neither a stage",
    }.items():
        yield Case(
            "configuration",
            override,
            (*TRAIN, *override.split(" e"))
            if " e" not in override
            else (*TRAIN, *override.split()),
            (said,),
        )
    files = {
        "a list": "- a",
        "a word": "word",
        "no YAML": "hidden: [8\n  x: }",
        "a tab": "hidden:\n\t- 8",
        "a key that is none": "defaults: [schema, _self_]\nhiden: [8]",
        "a wrong type": "defaults: [schema, _self_]\nhidden: wide",
        "code": "hidden: !!python/object/apply:os.getcwd []",
        "an alias to itself": "a: &a [*a]",
        "bytes": b"\xff\xfe\x00",
        "a default that is not there": "defaults: [schema, none]",
    }
    for name, content in files.items():

        def change(folder: Path, content: str | bytes = content) -> None:
            own = folder / "configs" / "emulator"
            own.mkdir(parents=True)
            raw_bytes = content.encode() if isinstance(content, str) else content
            (own / "own.yaml").write_bytes(raw_bytes)

        yield Case(
            "configuration", f"own file of {name}", (*TRAIN, "emulator=own"), (), change
        )


def models() -> Iterator[Case]:
    """Model files that are none, or of other data."""

    def fact(key: str, value: Any) -> Change:
        return model(lambda stored: stored["config"].update({key: value}))

    facts = {
        "species": [["H"], [], "H", None],
        "parameters": [["Density"], [1], None],
        "units": [["K"], "K"],
        "stoichiometry": [[[1]], "none"],
        "dt_range": [[0, 1], [5, 1], "long"],
        "t_max": [-1, "long"],
        "parameter_ranges": [{}, {"Density": [1, 2]}, 3],
        "species_ranges": [[[0], [1]], None],
        "initial_conditions": [{"x": [0.1]}, []],
        "floor": [0, -1, "low"],
        "version": [99, "new"],
    }
    for key, wrong in facts.items():
        for value in wrong:
            said = ("mine.keras", "which no surrogate has" if value != 99 else "newer")
            yield Case("model", f"{key} = {value}", PREDICT, said, fact(key, value))
    for share in (0, 0.1, 0.5, 0.99):
        said = ("mine.keras", "no Keras model file", "fetch or make it again")
        yield Case("model", f"cut at {share}", PREDICT, said, cut("mine.keras", share))
    layer = {"module": "keras.layers", "class_name": "Lambda", "config": {}}
    yield Case(
        "model",
        "a Lambda layer",
        PREDICT,
        ("mine.keras", "'Lambda'"),
        fact("emulator", layer),
    )
    wide = model(
        lambda stored: stored["config"]["emulator"]["config"].update(hidden=[30000] * 3)
    )
    yield Case(
        "model",
        "more weights than it holds",
        PREDICT,
        ("declares", "holds 350070"),
        wide,
    )
    for name, words in {
        "no such run": ("evaluate", "absent"),
        "no such file": ("evaluate", "absent.keras"),
        "a folder without a model": ("evaluate", "."),
        "a tracer file as a model": ("evaluate", "tracers.h5"),
        "a model as tracers": ("predict", "mine.keras", "mine.keras", "out.h5"),
        "no tracers": ("predict", "mine.keras", "none.h5", "out.h5"),
        "a run that is not there": ("models", "show", "absent"),
        "an unknown split": (*EVALUATE, "--split", "dev"),
        "an unknown compression": (*PREDICT, "--compression", "zip"),
        "the input as output": (*PREDICT[:3], "tracers.h5"),
        "a folder as output": (*PREDICT[:3], "."),
        "no backend of this name": (*PREDICT, "--backend", "theano"),
        "no number of threads": (*PREDICT, "--threads", "0"),
        "an emulator without its autoencoder": (*TRAIN, "emulator"),
        "nothing to resume": (*TRAIN, "--resume"),
    }.items():
        yield Case("model", name, words, ())


CASES = list(
    chain(
        damaged(),
        layouts(),
        values(),
        names(),
        raw_files(),
        starts(),
        configurations(),
        models(),
    )
)

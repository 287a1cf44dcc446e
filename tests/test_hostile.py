"""Files that mean harm are refused in a line, and nothing of them is run."""

import base64
import marshal
import pickle
import resource
import zipfile

import h5py
import numpy as np
import pytest
from conftest import ROOT
from hostile import Trap, claim, inflate, remake, replace, weights_of
from tiny import write_tracers
from torch_file import write_archive, write_state

from astrokeras.astrochemnet.torch_checkpoint import read_state
from astrokeras.data.tracers import hdf5_sandbox, hdf5_sandbox_worker
from astrokeras.data.tracers.hdf5_sandbox import check_file, is_hdf5
from astrokeras.data.tracers.reader import TracerStore
from astrokeras.errors import InputError
from astrokeras.models.metadata import FORMAT
from astrokeras.runs.loading import read_metadata
from astrokeras.runs.model_file_check import AUTOENCODERS, CLASSES, read_archive
from astrokeras.runs.surrogate_reference import find_surrogate_reference
from astrokeras.runs.training_overlap import own_tracers
from astrokeras.system.atomic_files import read_array, read_arrays

pytestmark = pytest.mark.neutral

PRESET = ROOT / "saved_models" / "grav" / "surrogate.keras"


def refusal(read, *arguments):
    """Return the line of a refusal, which must take neither long nor much memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as error:
        read(*arguments)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith(str(arguments[0]))
    assert message.endswith(".")
    assert len(message) < 600
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 500_000, "kB of memory"
    return message


# Model files


class TestModelFiles:
    @pytest.fixture
    def remade(self, tmp_path):
        """Write the preset again, changed."""
        return lambda **changes: remake(PRESET, tmp_path / "x.keras", **changes)

    def test_the_preset_itself_is_fine(self, remade):
        assert read_metadata(remade()).version == FORMAT
        assert read_archive(PRESET.with_name("autoencoder.keras"), *AUTOENCODERS)

    @pytest.mark.parametrize(
        ("module", "name", "registered"),
        [
            ("keras.layers", "Lambda", None),
            ("keras.layers", "TorchModuleWrapper", None),
            ("keras.layers", "TFSMLayer", None),
            ("keras.utils", "get_file", None),
            ("os", "system", None),
            ("builtins", "function", "eval"),
            (None, "__lambda__", None),
            ("astrokeras.cli", "app", "astrokeras>app"),
            ("astrokeras.models.emulator", "Emulator", "astrokeras>Evil"),
            ("keras.layers", "Dense", "astrokeras>Emulator"),
            ("keras", "Emulator", None),
        ],
    )
    @pytest.mark.parametrize("place", ["emulator", "trust", "fixed", "name"])
    def test_other_classes_are_refused(self, remade, place, module, name, registered):
        def plant(stored):
            stored["config"][place] = {
                "module": module,
                "class_name": name,
                "config": {"function": {"class_name": "__lambda__", "config": {}}},
                "registered_name": registered,
            }

        message = refusal(read_metadata, remade(config=plant))
        assert "which no surrogate has" in message
        assert str(registered or name) in message

    def test_a_lambda_is_not_run(self, remade, tmp_path):
        trap = tmp_path / "sprung"
        source = f"lambda x: __import__('os').mkdir({str(trap)!r})"
        code = marshal.dumps(eval(source).__code__)
        function = {"code": base64.b64encode(code).decode(), "defaults": None}
        layer = {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {"function": {"class_name": "__lambda__", "config": function}},
            "registered_name": None,
        }

        path = remade(config=lambda stored: stored["config"].update(emulator=layer))

        assert "'Lambda' of module 'keras.layers'" in refusal(read_metadata, path)
        assert not trap.exists()

    def test_every_class_of_a_surrogate_is_known(self):
        with zipfile.ZipFile(PRESET) as archive:
            text = archive.read("config.json").decode()
        assert {name for name in CLASSES if f"astrokeras>{name}" in text} == {
            "Surrogate",
            "Emulator",
            "ProjectionAutoencoder",
            "Trust",
        }

    @pytest.mark.parametrize(
        "name",
        ["../../evil.py", "/etc/evil", "assets/x", "model.weights.h5", "config.json"],
    )
    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_other_members_are_refused(self, remade, name):
        message = refusal(read_metadata, remade(more={name: b"x"}))
        assert repr(name) in message

    @pytest.mark.parametrize("member", ["config.json", "weights"])
    def test_a_bomb_is_not_unpacked(self, remade, member):
        zeros = b" " * 100 * 2**20
        change = {"weights": zeros} if member == "weights" else {}
        change |= {} if change else {"config": lambda stored: zeros}
        path = remade(compression=zipfile.ZIP_DEFLATED, **change)
        assert path.stat().st_size < 3 * 2**20
        assert "claims 104857600 bytes" in refusal(read_metadata, path)

    @pytest.mark.parametrize(
        ("part", "key", "value", "expected"),
        [
            ("autoencoder", "widths", [10**6, 10**6], "declares 1000"),
            ("autoencoder", "widths", [10**9], "= 1000000000, not a size"),
            ("autoencoder", "widths", "many", "widths = many"),
            ("autoencoder", "latents", -1, "latents = -1"),
            ("autoencoder", "species", 10**6, "weights or more"),
            ("emulator", "hidden", [20000, 20000], "weights or more"),
            ("emulator", "parameter_count", True, "parameter_count = True"),
            ("trust", "references", 10**6, "weights or more"),
        ],
    )
    def test_sizes_are_compared_with_the_weights(
        self, remade, part, key, value, expected
    ):
        def enlarge(stored):
            config = stored["config"]
            parts = {"trust": config["trust"], "emulator": config["emulator"]}
            parts["autoencoder"] = config["emulator"]["config"]["autoencoder"]
            parts[part]["config"][key] = value

        assert expected in refusal(read_metadata, remade(config=enlarge))

    def test_nesting_without_end(self, remade):
        deep = b"[" * 200_000 + b"]" * 200_000
        message = refusal(read_metadata, remade(config=lambda stored: deep))
        assert "nested too deeply" in message

    @pytest.mark.parametrize("way", ["link", "external", "virtual", "damaged", "claim"])
    def test_weights_of_elsewhere(self, remade, tmp_path, way):
        path = weights_of(PRESET, tmp_path / "weights.h5")
        name = "emulator/autoencoder/vars/0"
        if way == "damaged":
            path.write_bytes(path.read_bytes()[:-5000])
        else:
            with h5py.File(path, "r+") as file:
                del file[name]
                if way == "link":
                    file[name] = h5py.ExternalLink("/etc/hostname", "x")
                elif way == "external":
                    outside = [("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
                    file.create_dataset(name, (1,), "u1", external=outside)
                elif way == "virtual":
                    layout = h5py.VirtualLayout((1,), "f4")
                    layout[:] = h5py.VirtualSource("other.h5", "x", (1,))
                    file.create_virtual_dataset(name, layout)
                else:
                    file.create_dataset(name, (10**6, 10**6), "f4", chunks=True)
        expected = {"link": "is a link to the file '/etc/hostname'"}
        expected |= {"damaged": "damaged", "claim": "claims shape"}
        message = refusal(read_metadata, remade(weights=path))
        assert expected.get(way, "is stored in other files") in message

    def test_a_pickle_by_another_name(self, tmp_path):
        path = tmp_path / "x.keras"
        path.write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
        assert "no Keras model file" in refusal(read_metadata, path)
        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("species", "all"),
            ("species", ["H", "H"]),
            ("species", []),
            ("parameters", [1, 2, 3, 4]),
            ("units", ["K"]),
            ("stoichiometry", [[1]]),
            ("stoichiometry", [[float("nan")]]),
            ("dt_range", [0, 1]),
            ("dt_range", [2, 1]),
            ("dt_range", None),
            ("t_max", -1),
            ("t_max", "long"),
            ("parameter_ranges", {"Density": [1, 2]}),
            ("parameter_ranges", []),
            ("species_ranges", [[0], [1]]),
            ("initial_conditions", {"x": [1.0]}),
            ("initial_conditions", None),
            ("floor", 0),
            ("floor", [1]),
            ("fixed", 3),
            ("version", "new"),
            ("version", 99),
        ],
    )
    def test_what_a_surrogate_says_of_itself(self, remade, key, value):
        def change(stored):
            stored["config"][key] = value

        message = refusal(read_metadata, remade(config=change))
        assert key in message
        assert refusal(find_surrogate_reference, remade(config=change)) == message


# HDF5 files


class TestTracerFiles:
    @pytest.fixture
    def path(self, tmp_path):
        return write_tracers(tmp_path / "tiny.h5")

    def test_a_kilobyte_that_claims_a_terabyte(self, tmp_path):
        path = tmp_path / "small.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("abundances", (10**6, 300, 1000), "f4", chunks=True)
        assert path.stat().st_size < 10_000
        message = refusal(TracerStore, path)
        assert "(1000000, 300, 1000), 1200000000000 bytes" in message

    def test_a_dataset_in_one_piece_that_is_not_there(self, path):
        replace(path, "time", chunks=None)
        with h5py.File(path, "r+") as file:
            file.create_dataset("more", (10**12,), "f8")
        assert "'/more' claims shape (1000000000000,)" in refusal(TracerStore, path)

    def test_many_claims_of_a_little(self, path):
        with h5py.File(path, "r+") as file:
            for i in range(100):
                file.create_dataset(f"more{i}", (10**6,), "f8")
        assert "more than a file of" in refusal(TracerStore, path)

    def test_long_strings_are_counted(self, path):
        with h5py.File(path, "r+") as file:
            del file["species"]
            file.create_dataset("species", (10,), "S100000000")
        assert "'/species' claims shape (10,), 1000000000 bytes" in refusal(
            TracerStore, path
        )

    def test_one_tracer_larger_than_memory(self, tmp_path):
        path = write_tracers(tmp_path / "long.h5")
        claim(path, 1)
        with h5py.File(path, "r+") as file:
            names = [f"X{i}" for i in range(10)]
            for name, shape in (("abundances", (1, 7_000_000, 10)),):
                del file[name]
                file.create_dataset(name, shape, "f4", chunks=(1, 10_000, 10))
            for name, shape in (
                ("physical", (1, 6_999_999, 3)),
                ("time", (1, 7_000_000)),
            ):
                del file[name]
                file.create_dataset(name, shape, "f4", chunks=True)
            file["note"] = np.zeros(10**6)  # so that the file may claim as much
            assert len(names) == len(file["species"])
        assert "a tracer of 7000000 states" in refusal(TracerStore, path)

    def test_chunks_larger_than_memory(self, path):
        replace(path, "time", maxshape=(None, None), chunks=(20, 10**7))
        assert "has chunks of 1600000000 bytes" in refusal(TracerStore, path)

    def test_a_chunk_that_unpacks_to_gigabytes(self, path):
        inflate(path, "abundances", 2**28)
        assert path.stat().st_size < 3 * 2**20
        assert "a chunk of 26" in refusal(TracerStore, path)

    def test_external_storage(self, path):
        outside = [("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
        replace(path, "length", external=outside)
        assert "is stored in other files" in refusal(TracerStore, path)

    @pytest.mark.parametrize("deep", [False, True])
    def test_external_links_anywhere(self, path, deep):
        with h5py.File(path, "r+") as file:
            file["a/b/c" if deep else "time2"] = h5py.ExternalLink("/etc/passwd", "x")
        assert "link to the file '/etc/passwd'" in refusal(TracerStore, path)

    def test_groups_within_themselves(self, path):
        with h5py.File(path, "r+") as file:
            file["a"] = file["/"]
        TracerStore(path).close()

    @pytest.mark.parametrize("kind", ["bytes", "text", "numbers"])
    def test_huge_attributes(self, path, kind):
        with h5py.File(path, "w", libver="latest") as file:
            value = {"bytes": np.bytes_(b"x" * 2 * 10**6), "text": "x" * 2 * 10**6}
            file.attrs["note"] = value.get(kind, np.ones(10**6))
        assert "attribute 'note' of '/' takes" in refusal(TracerStore, path)

    @pytest.mark.parametrize("what", ["attributes", "members", "objects"])
    def test_too_many_of_anything(self, path, monkeypatch, what):
        monkeypatch.setattr(hdf5_sandbox_worker, "OBJECTS", 30)
        with h5py.File(path, "r+") as file:
            for i in range(31):
                if what == "attributes":
                    file["time"].attrs[f"a{i}"] = i
                elif what == "members":
                    file[f"a{i}"] = file["time"]
                else:
                    file.create_group(f"a{i // 8}/{i}")
        assert f"{what}, more than 30" in refusal(hdf5_sandbox_worker.scan, path)

    def test_values_that_are_python_objects_are_not_touched(self, path):
        with h5py.File(path, "r+") as file:
            objects = file.create_dataset("more", (3,), h5py.vlen_dtype(np.uint8))
            objects[0] = np.frombuffer(pickle.dumps(Trap("/nowhere")), "u1")
        TracerStore(path).close()

    def test_the_signature_is_found_behind_a_block_of_the_users(self, tmp_path):
        path = tmp_path / "block.h5"
        h5py.File(path, "w", userblock_size=2048).close()
        assert is_hdf5(path)
        path.write_bytes(b"\n" * 2048)
        assert not is_hdf5(path)


# What the library does to the process that reads


class TestTheHelper:
    """A stand-in for h5py does what hostile bytes make the real one do."""

    @pytest.fixture
    def library(self, tmp_path, monkeypatch):
        def write(action):
            folder = tmp_path / "stand_in"
            folder.mkdir()
            text = f"import os, time\ndef File(*_):\n    {action}\n"
            (folder / "h5py.py").write_text(
                text + "class Dataset: ...\nGroup = Dataset\nversion = None\n"
            )
            monkeypatch.syspath_prepend(folder)
            monkeypatch.setattr(hdf5_sandbox, "_helpers", [])
            return write_tracers(tmp_path / "tiny.h5")

        yield write
        for helper in hdf5_sandbox._helpers:
            helper.close()

    @pytest.mark.parametrize(
        ("action", "expected"),
        [
            ("os.kill(os.getpid(), 11)", "the library crashed (SIGSEGV)"),
            ("os.abort()", "the library crashed (SIGABRT)"),
            ("exec('while True: pass')", "the library ran for ever"),
            ("bytearray(2 * 10**9)", "MemoryError"),
            ("open('/tmp/written', 'w').write('x' * 9999)", "File too large"),
            ("raise ZeroDivisionError('by\\n zero')", "(by zero)"),
            ("os._exit(3)", "the library crashed (without a word)"),
        ],
    )
    def test_its_end_is_a_refusal(self, library, tmp_path, action, expected):
        path = library(action.replace("/tmp/written", str(tmp_path / "written")))
        hdf5_sandbox.forget()
        assert expected in refusal(check_file, path)
        if "SEGV" in expected:  # It serves on.
            assert expected in refusal(check_file, path)

    @pytest.mark.skipif(
        h5py.version.hdf5_version != "1.14.6", reason="found with HDF5 1.14.6"
    )
    @pytest.mark.parametrize(
        ("place", "byte", "expected"),
        [(849, 3, "crashed (SIGSEGV)"), (2425, 4, "ran for ever")],
    )
    def test_a_byte_that_is_the_end_of_the_library(
        self, tmp_path, place, byte, expected
    ):
        path = write_tracers(tmp_path / "tiny.h5")
        data = bytearray(path.read_bytes())
        data[place] = byte
        path.write_bytes(data)
        assert expected in refusal(TracerStore, path)

    # A real helper forks before any backend has threads.
    @pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
    def test_patience_ends(self, library, monkeypatch, tmp_path):
        monkeypatch.setattr(hdf5_sandbox_worker, "PATIENCE", 0.2)
        monkeypatch.setattr(
            hdf5_sandbox_worker, "_scan_limited", lambda *_: __import__("time").sleep(9)
        )
        assert hdf5_sandbox_worker._scan_in_fork(tmp_path, "") == {"died": "SIGKILL"}

    def test_a_file_is_looked_through_once(self, tmp_path, monkeypatch):
        path = write_tracers(tmp_path / "tiny.h5")
        asked = []
        monkeypatch.setattr(hdf5_sandbox, "_ask", lambda *one: asked.append(one) or 1)

        TracerStore(path).close()
        assert asked == []  # Written by this process.
        path.write_bytes(path.read_bytes() + b"x")
        for _ in range(2):
            TracerStore(path).close()
        assert asked == [(path, "")]

    def test_a_file_that_takes_the_place_of_a_good_one(self, tmp_path, monkeypatch):
        path = write_tracers(tmp_path / "t.h5")
        other = path.rename(tmp_path / "other.h5")
        write_tracers(path)
        hdf5_sandbox.forget()

        def check(path):
            check_file(path)
            other.replace(path)

        monkeypatch.setattr(hdf5_sandbox, "check_file", check)
        assert "was replaced while it was being opened" in refusal(TracerStore, path)

    def test_a_helper_that_left_is_replaced(self, tmp_path):
        path = write_tracers(tmp_path / "tiny.h5")
        hdf5_sandbox.forget()
        check_file(path)
        hdf5_sandbox._helpers[-1].process.kill()
        hdf5_sandbox.forget()
        assert check_file(path) > 20 * 13 * 10


# Arrays, checkpoints, configurations


class TestArrays:
    def test_objects_are_not_unpickled(self, tmp_path):
        trap, path = tmp_path / "sprung", tmp_path / "x.npz"
        np.savez(path, allow_pickle=True, a=np.array([Trap(trap)], object))
        assert "never unpickled" in refusal(read_arrays, path)
        with zipfile.ZipFile(path) as archive:
            (tmp_path / "x.npy").write_bytes(archive.read("a.npy"))
        with pytest.raises(ValueError, match="never unpickled"):
            read_array(tmp_path / "x.npy")
        assert not trap.exists()

    def test_a_header_that_claims_a_terabyte(self, tmp_path):
        path = tmp_path / "x.npz"
        np.savez(path, a=np.zeros((2, 3)))
        with zipfile.ZipFile(path) as archive:
            raw = archive.read("a.npy").replace(b"(2, 3), }      ", b"(999999,999999)}")
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", raw[: raw.index(b"\n")] + b"\n" + bytes(48))
        assert "bytes of" in refusal(read_arrays, path)

    def test_compressed_arrays_are_no_checkpoint(self, tmp_path):
        path = tmp_path / "x.npz"
        np.savez_compressed(path, a=np.zeros(10**6))
        assert "a.npy is compressed" in refusal(read_arrays, path)

    @pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY\x01\x00\xff\xff{"])
    def test_what_is_no_archive(self, tmp_path, content):
        (tmp_path / "x.npz").write_bytes(content)
        assert "holds no readable arrays" in refusal(read_arrays, tmp_path / "x.npz")


class TestCheckpoints:
    @pytest.fixture
    def pickled(self, tmp_path, rng):
        self.array = rng.normal(size=(64, 64)).astype("float32")
        path = write_state(tmp_path / "model.pth", {"net.0.weight": self.array})
        with zipfile.ZipFile(path) as archive:
            return archive.read("model/data.pkl")

    def test_what_rebuilds_tensors_cannot_be_changed(self, tmp_path):
        pickled = (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x01\x00\x00\x00aK\x01sb."
        )
        path = write_archive(tmp_path / "x.pth", pickled, {})
        assert "changes the functions that rebuild" in refusal(read_state, path)

    def test_a_storage_that_unpacks_to_more_is_refused(self, tmp_path, pickled):
        path = write_archive(tmp_path / "x.pth", pickled, {})
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model/data/0", bytes(self.array.nbytes))
        assert "storage 0 is compressed" in refusal(read_state, path)

    def test_one_storage_asked_for_again_and_again(self, tmp_path, pickled):
        begin, end = pickled.index(b"X\x0c"), pickled.rindex(b"u.")
        entry = pickled[begin:end]
        many = b"".join(
            entry.replace(b"net.0.weight", b"net.%06d.x" % i)[: len(entry)]
            for i in range(40)
        )
        raw = pickled[:begin] + many + pickled[end:]
        path = write_archive(tmp_path / "x.pth", raw, {"0": self.array.tobytes()})
        assert "many times the size of the file" in refusal(read_state, path)

    def test_nesting_without_end(self, tmp_path):
        raw = b"\x80\x02" + b"(" * 100 + b"]" * 10**5 + b"."
        path = write_archive(tmp_path / "x.pth", raw, {})
        assert "no state dictionary" in refusal(read_state, path)


class TestConfigurations:
    @pytest.fixture
    def target(self, tmp_path):
        folder = tmp_path / "run"
        folder.mkdir()
        remake(PRESET, folder / "surrogate.keras")
        return find_surrogate_reference(folder)

    @pytest.mark.parametrize(
        "text",
        [
            "dataset: {path: !!python/object/apply:os.mkdir ['%s']}",
            "dataset: {path: ['${oc.env:HOME}']}",
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n"
                for p, c in zip("abcdefgh", "bcdefghi", strict=True)
            )
            + "dataset: *i",
            "dataset: " + "[" * 2000,
        ],
        ids=["code", "environment", "laughs", "nesting"],
    )
    def test_the_configuration_of_a_run(self, target, tmp_path, text):
        trap = tmp_path / "sprung"
        target.run.config.write_text(text.replace("%s", str(trap)))
        with pytest.raises(InputError, match="names no tracer file"):
            own_tracers(target)
        assert not trap.exists()

    @pytest.mark.parametrize("name", ["provenance", "metrics"])
    def test_json_of_a_run(self, target, name):
        path = getattr(target.run, name)
        path.write_text("[" * 100_000)
        read = getattr(target.run, f"read_{name}")
        with pytest.raises(InputError, match=r"is not a JSON object; remove it"):
            read()

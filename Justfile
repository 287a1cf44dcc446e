# Tasks of the project; `just` lists them.  They use the environment in .venv.

bin := ".venv/bin"

# List the tasks.
default:
    @just --list

# Make .venv with every backend and all tools.
setup:
    python3 -m venv .venv
    # This PyTorch is one that indexes offer without GPU libraries.
    {{bin}}/pip install --editable ".[all,dev]" "torch==2.13.0"

# Format the code and sort its imports.
fmt:
    {{bin}}/ruff check --select I --fix
    {{bin}}/ruff format

# Look for faults and for code that is not formatted.
lint:
    {{bin}}/ruff check
    {{bin}}/ruff format --check

# Check the types.
types:
    {{bin}}/mypy

# Run the tests on one backend.
test backend="tensorflow" *options:
    KERAS_BACKEND={{backend}} {{bin}}/python -m pytest {{options}}

# Run the tests on the three backends, each in a process of its own.
test-all: (test "tensorflow") (test "jax") (test "torch")

# Fuzz the readers of species names and of tracer files, each for so many seconds, and
# the arguments of functions, and damage ten thousand tracer files.
fuzz seconds="600":
    {{bin}}/pip install --quiet ".[fuzz]"
    {{bin}}/python fuzz/species.py -max_total_time={{seconds}}
    {{bin}}/python fuzz/tracers.py -max_total_time={{seconds}}
    {{bin}}/python fuzz/arguments.py --cases 1000000 --calls 10000
    {{bin}}/python fuzz/damaged.py --files 10000

# Kill trainings, searches, predictions and imports at random, and resume them.
faults backend="tensorflow" *options:
    KERAS_BACKEND={{backend}} {{bin}}/python tests/support/faults.py {{options}}

# Ask a surrogate for a million random states, physical or flagged: minutes on one core.
safety backend="jax" *options:
    KERAS_BACKEND={{backend}} {{bin}}/python tests/support/safety.py {{options}}

# Train the preset `grav` from data/grav_full.h5 on: UCLCHEM, and hours.
grav:
    test -f data/grav_blends_solved.h5 || {{bin}}/astrokeras data generate data/grav_blends.h5 data/grav_blends_solved.h5 dataset=grav
    test -f data/grav_blended.h5 || {{bin}}/astrokeras data import data/grav_full.h5 data/grav_blends_solved.h5 --out data/grav_blended.h5 dataset=grav
    {{bin}}/astrokeras --backend jax --threads 1 train --overwrite name=grav dataset.path=data/grav_blended.h5 autoencoder.fit.epochs=40 emulator.fit.epochs=260

# Write the figures of the presets into README and docs.
numbers:
    {{bin}}/python benchmarks/page_figures.py

# Run the shock of examples/hydro with a surrogate, and write its figures into docs/hydro.md: UCLCHEM, and minutes.
hydro name="ism" folder="build/hydro":
    mkdir -p {{folder}}/out
    {{bin}}/astrokeras export {{name}} --to c --out {{folder}}/c --overwrite
    make -C {{folder}}/c all fortran
    gfortran -O2 -I{{folder}}/c -J{{folder}} examples/hydro/flow.f90 examples/hydro/chemistry.f90 examples/hydro/shock.f90 -L{{folder}}/c -lastrokeras -lm -o {{folder}}/shock
    rm -f {{folder}}/out/*
    {{folder}}/shock {{folder}}/c/surrogate.bin examples/hydro/start.txt {{folder}}/out
    {{bin}}/python examples/hydro/compare.py {{name}} {{folder}}/out --page docs/hydro.md

# Look for known weaknesses of what is installed with the package.
audit:
    {{bin}}/pip install --quiet pip-audit
    {{bin}}/pip-audit --local --skip-editable

# List the licences of what is installed with the package.
licences:
    {{bin}}/pip install --quiet pip-licenses
    {{bin}}/pip-licenses --order=license

# Run the tests with the lowest versions that pyproject.toml names, in build/lowest.
lowest backend="tensorflow" *options:
    {{bin}}/pip install --quiet uv
    {{bin}}/uv venv --quiet --clear --python 3.11 build/lowest
    {{bin}}/uv pip install --quiet --python build/lowest --resolution lowest-direct --editable ".[{{backend}},test]"
    # What old packages use of newer ones that they depend on is no fault of ours.
    KERAS_BACKEND={{backend}} build/lowest/bin/python -m pytest -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning -W ignore::pytest.PytestUnraisableExceptionWarning {{options}}

# Build the site into build/site; any warning is an error.
docs:
    {{bin}}/mkdocs build --strict

# Show the site while it is written.
docs-serve:
    {{bin}}/mkdocs serve

# Run the tutorial's notebook again, for the site to show what it gives now.
notebook:
    {{bin}}/python docs/hooks/notebook.py

# Train on the sample that ships, and evaluate.
quickstart:
    ./quickstart.sh

# Measure the speed again, as docs/performance.md tells it; an hour on a quiet machine.
benchmark *options:
    {{bin}}/python benchmarks/speed.py {{options}}
    {{bin}}/python benchmarks/input.py
    {{bin}}/python benchmarks/start.py
    {{bin}}/python benchmarks/growth.py
    {{bin}}/python benchmarks/memory.py
    {{bin}}/python benchmarks/devices.py
    {{bin}}/python benchmarks/time_to_accuracy.py
    {{bin}}/python benchmarks/picture.py

# Everything that a change must pass, in fresh environments.
check:
    .ci/run

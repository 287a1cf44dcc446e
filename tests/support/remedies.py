"""The options that a message names, and a dataset's configuration with them."""

import re
import shlex

import yaml
from conftest import ROOT
from hydra.core.override_parser.overrides_parser import OverridesParser

from astrokeras.config import DatasetConfig, SplitConfig
from astrokeras.config.fields import check


def options(message: str) -> list[str]:
    """Return the overrides in backquotes of a message, as a shell passes them on."""
    quoted = re.findall(r"`([^`]*=[^`]*)`", message)
    return [word for text in quoted for word in shlex.split(text)]


def dataset(*words: str, variant: str = "uclchem") -> DatasetConfig:
    """Return the configuration of a dataset with overrides, faster than Hydra does."""
    file = ROOT / "configs" / "dataset" / f"{variant}.yaml"
    values = yaml.safe_load(file.read_text())
    del values["defaults"]
    values["parameters"] = {k: str(raw) for k, raw in values["parameters"].items()}
    config = DatasetConfig(**values | {"split": SplitConfig(**values["split"])})
    parsed = OverridesParser.create().parse_overrides([f"++{word}" for word in words])
    for override in parsed:
        group, key, *rest = override.key_or_group.split(".")
        assert group == "dataset"
        assert hasattr(config, key)
        value = override.value()
        value = {rest[0]: value} if rest else value
        if key in ("raw_units", "parameters"):
            value = {name: str(text) for name, text in value.items()}
        old = getattr(config, key)
        setattr(config, key, old | value if isinstance(old, dict) else value)
    check(config)
    return config

"""Units of the columns of a raw table, and conversions to those of tracer files."""

from astrokeras.config import DatasetConfig
from astrokeras.data.readers.table import Table
from astrokeras.data.tracers import file_format
from astrokeras.data.tracers.units import Conversion, conversion
from astrokeras.errors import InputError
from astrokeras.system.close_names import suggest


def parameter_units(config: DatasetConfig) -> dict[str, str]:
    """Return the unit of each parameter; known parameters have default units."""
    known = file_format.PARAMETER_UNITS | dict(config.units)
    return {name: known.get(name, "") for name in config.parameters}


def stated_units(
    table: Table, config: DatasetConfig, columns: dict[str, int]
) -> dict[str, str]:
    """Return the units of raw columns that the configuration or the table states.

    Args:
        table: The table; its attribute `units`, if it has one, holds units by column.
        config: The dataset; its `raw_units` come before those of the table.
        columns: The column of `Time` and of each parameter.

    Raises:
        InputError: For a unit of an unknown parameter.
    """
    wanted = ["Time", *config.parameters]
    unknown = [name for name in config.raw_units if name not in wanted]
    if unknown:
        remedy = "; correct the name, or add it to `dataset.parameters`."
        raise InputError(
            f"dataset.raw_units.{unknown[0]}: there is no such parameter, only "
            f"{', '.join(wanted)}{suggest(unknown[0], wanted, remedy)}"
        )
    own = getattr(table, "units", {})
    stated = {
        name: own[table.columns[column]]
        for name, column in columns.items()
        if own.get(table.columns[column])
    }
    return stated | dict(config.raw_units)


def find_conversions(
    config: DatasetConfig, stated: dict[str, str]
) -> dict[str, Conversion]:
    """Return the conversions of time and parameters from their raw columns.

    Raises:
        InputError: For units that cannot be converted.
    """
    wanted = {"Time": "yr"} | parameter_units(config)
    return {
        name: conversion(name, stated.get(name, unit), unit)
        for name, unit in wanted.items()
    }

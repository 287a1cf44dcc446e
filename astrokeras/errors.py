"""The two ways in which a command can end badly."""


class InputError(ValueError):
    """Wrong input or usage: one line that names file, field, value and remedy.

    The command line prints it without a traceback and exits with code 2.
    """


class WorkError(RuntimeError):
    """The work itself failed although its input was right; exit code 1."""

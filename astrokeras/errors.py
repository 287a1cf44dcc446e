"""The two ways in which a command can end badly, and two warnings."""


class InputError(ValueError):
    """Wrong input or usage: one line that names file, field, value and remedy.

    The command line prints it without a traceback and exits with code 2.
    """


class WorkError(RuntimeError):
    """The work itself failed although its input was right; exit code 1."""


class OutsideBoxWarning(UserWarning):
    """Parameters or a start lie outside what the surrogate was trained on."""


class UnphysicalWarning(RuntimeWarning):
    """Some predicted states cannot be: not finite, not positive, atoms not kept."""

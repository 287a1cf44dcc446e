"""The two ways in which a command can end badly, and the warnings."""

LONGEST = 1400
"""Letters of a message; of a longer one its beginning and its end are kept."""


class InputError(ValueError):
    """Wrong input or usage: one line that names file, field, value and remedy.

    The command line prints it without a traceback and exits with code 2. Line breaks
    of a name that it quotes, such as a file's, are written as blanks.
    """

    def __init__(self, message: object = ""):
        line = " ".join(str(message).splitlines())
        if len(line) > LONGEST:  # A name out of a file may have any length.
            line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 4 :]}"
        super().__init__(line)


class WorkError(RuntimeError):
    """The work itself failed although its input was right; exit code 1."""


class OutsideBoxWarning(UserWarning):
    """Parameters or a start lie outside what the surrogate was trained on."""


class UnreliableWarning(UserWarning):
    """More than a few of the predicted states are not reliable."""


class UnphysicalWarning(RuntimeWarning):
    """Some predicted states cannot be: not finite, not positive, atoms not kept."""

"""The command line. Every verb is one file: parse, call one function, print."""

import os
import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run ``pdefm``; errors for users are one line on stderr and an exit status."""
    from contextlib import nullcontext

    import typer

    from pdefm.cli.app import app
    from pdefm.cli.options import only_results_on_stdout
    from pdefm.errors import EnvironmentFault, PdefmError

    # Newer versions of typer carry their own copy of click, whose base class they do not export.
    wrong_use: type[Exception] = next(
        c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
    )
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    try:
        with only_results_on_stdout() if "--json" in arguments else nullcontext():
            status = app(args=arguments, standalone_mode=False, prog_name="pdefm")
        if status == EXIT_INTERRUPTED:  # newer versions of typer return it
            raise KeyboardInterrupt
    except (PdefmError, wrong_use, typer.Abort, KeyboardInterrupt, OSError) as error:
        if debug:
            raise
        status = _report(error, EnvironmentFault.exit_status)
    status = status if isinstance(status, int) else 0
    if status and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # Processes that end while others are in an exchange abort now and then on the way out.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _report(error: BaseException, environment_status: int) -> int:
    """Print the line and return the exit status."""
    import typer

    from pdefm.errors import PdefmError

    if isinstance(error, KeyboardInterrupt | typer.Abort):
        sys.stderr.write("pdefm: interrupted; the same command goes on where it can\n")
        return EXIT_INTERRUPTED
    if isinstance(error, PdefmError | OSError):
        sys.stderr.write(f"pdefm: {' '.join(str(error).split())}\n")
        return error.exit_status if isinstance(error, PdefmError) else environment_status
    message = str(getattr(error, "format_message", lambda: "")())
    if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help itself
        sys.stderr.write(f"{message}\n".lstrip("\n"))
    else:
        sentence = " ".join(message.split())
        stop = "" if sentence.endswith((".", "?")) else "."
        sys.stderr.write(f"pdefm: {sentence}{stop} See the verb's --help.\n")
    return int(getattr(error, "exit_code", 2))

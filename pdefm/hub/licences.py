"""Under which licence a dataset may be published, given that of its source."""

import re

from pdefm.errors import RecipeError

FREE = frozenset(
    {
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause"),
        *("cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-4.0", "odc-by", "pddl"),
    }
)
"""Hub ids of licences that let anybody publish what was made from the source."""
IDENTIFIER = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")
EXAMPLE = "as in --licence cc-by-4.0"


def licence_id(text: str) -> str:
    """The Hub's id of a licence as a publisher writes it, as ``cc-by-4.0`` for ``CC BY 4.0``."""
    return re.sub(r"[\s_]+", "-", re.sub(r"\(.*?\)", "", text).strip().lower())


def is_non_commercial(text: str) -> bool:
    """Whether a licence forbids commercial use."""
    return "non-commercial" in text.lower() or "nc" in licence_id(text).split("-")


def choose_licence(source: str, stated: str | None) -> str:
    """Hub id of the licence that the dataset is published under.

    Args:
        source: Licence of the source, as its publisher states it; empty if unknown.
        stated: What the user says.

    Raises:
        RecipeError: The source's licence is unknown or non-commercial and the user says nothing,
            the user says one that allows more than the source's, or no id at all.
    """
    if stated is not None and not IDENTIFIER.fullmatch(stated):
        raise RecipeError(
            "--licence is an id of the Hub", got=f"'{stated}'", do=f"Say it {EXAMPLE}"
        )
    if is_non_commercial(source):
        if stated is None:
            raise RecipeError(
                "the source's licence is non-commercial",
                got=source,
                do=f"If it lets you publish, repeat it, as in --licence {licence_id(source)}",
            )
        if not is_non_commercial(stated):
            raise RecipeError(
                f"the source's licence is {source}, which is non-commercial",
                got=f"--licence {stated}",
                do="Publish under a licence that is non-commercial too",
            )
        return stated
    if stated is not None:
        return stated
    if licence_id(source) in FREE:
        return licence_id(source)
    raise RecipeError(
        "the source's licence is not known to let you publish",
        got=source or "no licence in the record",
        do=f"Find out, and say under which licence you publish, {EXAMPLE}",
    )

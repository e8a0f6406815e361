import pytest

from pdefm.errors import RecipeError
from pdefm.hub.licences import choose_licence, is_non_commercial, licence_id


@pytest.mark.parametrize(
    ("source", "stated", "chosen"),
    [
        ("CC BY 4.0", None, "cc-by-4.0"),
        ("MIT", None, "mit"),
        ("MIT", "cc-by-4.0", "cc-by-4.0"),
        ("", "cc0-1.0", "cc0-1.0"),
        ("CC BY-NC 4.0 (non-commercial)", "cc-by-nc-4.0", "cc-by-nc-4.0"),
    ],
)
def test_a_known_or_stated_licence_is_taken(source, stated, chosen):
    assert choose_licence(source, stated) == chosen


@pytest.mark.parametrize(
    ("source", "stated", "part"),
    [
        ("", None, "not known to let you publish"),
        ("see website", None, "see website"),
        ("CC BY-NC 4.0 (non-commercial)", None, "repeat it, as in --licence cc-by-nc-4.0"),
        ("CC BY-NC 4.0 (non-commercial)", "mit", "non-commercial too"),
        ("MIT", "my own/../licence", "an id of the Hub"),
    ],
)
def test_anything_else_is_refused_in_one_line(source, stated, part):
    with pytest.raises(RecipeError, match=part):
        choose_licence(source, stated)


def test_licences_are_read_as_publishers_write_them():
    assert licence_id("CC BY-NC 4.0 (non-commercial)") == "cc-by-nc-4.0"
    assert licence_id("Apache-2.0") == "apache-2.0"
    assert is_non_commercial("cc-by-nc-sa-4.0")
    assert not is_non_commercial("MIT, encouraged")

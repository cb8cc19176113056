"""The gate before real frameworks, and real Pyramid add-ons inside the auth app."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from factored.interfaces import ConfigurationError
from tests.support import NAME, Site, token_of

ODD_NAME = "zoë"


@pytest.fixture(scope="module")
def django_app() -> Any:
    """A Django site of one page, with its own middleware for a user the server names."""
    django = pytest.importorskip("django", reason="Django is not installed")
    from django.conf import settings

    urls = types.ModuleType("factored_test_urls")
    settings.configure(
        DEBUG=False,
        SECRET_KEY="for-tests",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=urls.__name__,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        USE_TZ=True,
    )
    django.setup()
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import re_path

    def page(request: Any) -> Any:
        who = request.META.get("REMOTE_USER", "-").encode("latin-1").decode()
        posted = request.POST.get("field", "-")
        return HttpResponse(f"django {who} {request.path} {request.GET.get('q', '-')} {posted}")

    urls.urlpatterns = [re_path("", page)]  # type: ignore[attr-defined]
    sys.modules[urls.__name__] = urls
    return get_wsgi_application()


@pytest.fixture(scope="module")
def flask_app() -> Any:
    """A Flask site of one page."""
    flask = pytest.importorskip("flask", reason="Flask is not installed")
    app = flask.Flask("factored_test")

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def page(path: str) -> str:
        request = flask.request
        who = request.environ.get("factored.identity", "-")
        posted = request.form.get("field", "-")
        return f"flask {who} {request.path} {request.args.get('q', '-')} {posted}"

    return app


@pytest.fixture(params=["django", "flask"])
def framework(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, request.getfixturevalue(f"{request.param}_app")


def test_a_site_of_a_framework_is_protected_and_told_who_it_is(
    make_site: Callable[..., Site], framework: tuple[str, Any]
) -> None:
    name, app = framework
    site = make_site(app, excepted_paths="/open")
    assert site.web.get("/x").status_int == 302
    assert site.web.post("/x", {"field": "f"}).status_int == 401
    assert site.web.get("/open").text == f"{name} - /open - -"
    site.login()
    assert site.web.get("/d%C3%A9?q=1").text == f"{name} {NAME} /d\u00e9 1 -"
    assert site.web.post("/x", {"field": "f"}).text == f"{name} {NAME} /x - f"
    page = site.web.get("/auth/logout")
    page.form.submit("submit", value="logout")
    assert site.web.get("/x").status_int == 302


def test_a_name_that_is_not_ascii_arrives_as_it_is(
    make_site: Callable[..., Site], framework: tuple[str, Any]
) -> None:
    name, app = framework
    site = make_site(app)
    web = site.browser().cookie(site.ticket(ODD_NAME))
    assert web.get("/").text == f"{name} {ODD_NAME} / - -"


# -- pyramid.includes ------------------------------------------------------------------------------


def test_pyramid_tm_does_not_break_the_login(make_site: Callable[..., Site]) -> None:
    pytest.importorskip("pyramid_tm", reason="pyramid_tm is not installed")
    changed = {"pyramid.includes": "pyramid_tm", "tm.annotate_user": "false"}
    site = make_site(**changed)
    assert site.attempt(site.wrong_code()).status_int == 200
    for _ in range(4):
        site.attempt(site.wrong_code())
    assert site.attempt(site.code()).status_int == 429
    assert site.login(site.browser("198.51.100.1")).status_int == 303


ADD_ON = """
from pyramid.response import Response

given = {}

def includeme(config):
    given.update(config.registry.settings)
    config.add_route("addon", "/addon")
    config.add_view(lambda request: Response("from the add-on"), route_name="addon")
"""


@pytest.fixture
def add_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The name of a module that adds a page, and notes what it was given."""
    name = "factored_test_addon"
    (tmp_path / f"{name}.py").write_text(ADD_ON)
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


@pytest.mark.parametrize("how", ["{}", "{}.includeme", "{}:includeme", "pyramid_tm\n{}"])
def test_an_add_on_may_add_pages_and_is_given_its_keys(
    make_site: Callable[..., Site], add_on: str, how: str
) -> None:
    changed = {
        "pyramid.includes": how.format(add_on),
        f"{add_on}.color": "blue",
        "pyramid.default_locale_name": "de",
    }
    site = make_site(**changed)
    answer = site.web.get("/auth/addon")
    assert answer.text == "from the add-on"
    assert answer.headers["X-Frame-Options"] == "DENY"
    given = sys.modules[add_on].given
    assert given[f"{add_on}.color"] == "blue"
    assert given["pyramid.default_locale_name"] == "de"
    assert "sqlalchemy.url" not in given
    assert site.login().status_int == 303


def test_what_an_add_on_adds_takes_no_post_unless_it_says_so(
    make_site: Callable[..., Site], add_on: str
) -> None:
    site = make_site(**{"pyramid.includes": add_on})
    fields = {"csrf_token": token_of(site.web.get("/auth/ga")), "submit": "x"}
    assert site.web.post("/auth/addon", fields).status_int == 405


def test_an_add_on_that_is_not_there_is_a_bad_setting(make_site: Callable[..., Site]) -> None:
    with pytest.raises(ConfigurationError, match=r"pyramid\.includes"):
        make_site(**{"pyramid.includes": "no_such_package_of_ours"})

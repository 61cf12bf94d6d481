"""The interface for programs: who may ask, what may be asked, and what is answered to everything else."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from proxy import api
from proxy.api import Api, Reply, Request, receive
from proxy.config import load
from tests.proxy.fake_director import FakeDirector, Place, refused, rows, site

TOKEN = "correct-horse-battery-staple"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
JSON = {"content-type": "application/json; charset=utf-8"}


@pytest.fixture
def place() -> Iterator[Place]:
    with site() as made:
        (made.folder / "token").write_text(TOKEN + "\n")
        yield made


def api_of(place: Place, **admin: Any) -> Api:
    settings = load(place.config)
    admin = {"api_token_file": place.folder / "token"} | admin
    return Api(dataclasses.replace(settings, admin=dataclasses.replace(settings.admin, **admin)))


def get(asked: Api, target: str, **headers: str) -> Reply:
    return asked.answer(Request("GET", f"/api/{target}", AUTHORIZED | headers, lambda _: b""))


def post(asked: Api, target: str, body: object, **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = {"content-length": str(len(raw))}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return asked.answer(Request("POST", f"/api/{target}", AUTHORIZED | JSON | length | given, lambda n: raw[:n]))


def orders(director: FakeDirector) -> list[dict[str, Any]]:
    return [question for question in director.asked if question["ask"] != "backends"]


# --- who may ask ---


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}\xe9",
        "\xff",
    ],
)
def test_nobody_without_the_token_learns_anything(place: Place, header: str) -> None:
    director = place.start()
    for target in ("backends", "nothing", "explain/alice", "kick"):
        reply = get(api_of(place), target, authorization=header)
        assert (reply.status, reply.headers) == (401, {"WWW-Authenticate": "Bearer"})
        assert json.loads(reply.body) == {"ok": False, "error": "a token is needed"}
    assert director.asked == []


def test_the_name_of_the_scheme_may_be_written_in_any_case(place: Place) -> None:
    place.start()
    assert get(api_of(place), "backends", authorization=f"bEARER  {TOKEN}").status == 200


def test_without_a_token_file_there_is_nothing(place: Place) -> None:
    place.start()
    assert get(api_of(place, api_token_file=None), "backends").status == 404


@pytest.mark.parametrize("token", [None, "", "\n", "short", "x" * 1025])
def test_a_token_file_that_is_no_good_lets_nobody_in(place: Place, token: str | None) -> None:
    place.start()
    (place.folder / "token").unlink()
    if token is not None:
        (place.folder / "token").write_text(token)
    reply = get(api_of(place), "backends", authorization=f"Bearer {token}")
    assert reply.status == 503
    assert str(place.folder) not in reply.body.decode()


def test_a_new_token_counts_at_once(place: Place) -> None:
    place.start()
    asked = api_of(place)
    (place.folder / "token").write_text("another-token-of-some-length")
    assert get(asked, "backends").status == 401


# --- questions ---


def test_listings_are_rows(place: Place) -> None:
    director = place.start(backends=rows({"backend": "mb1a"}), who=rows({"user": "alice"}), limits=rows())
    asked = api_of(place)
    assert json.loads(get(asked, "backends").body) == {"ok": True, "rows": [{"backend": "mb1a"}], "more": False}
    assert get(asked, "who?target=Alice").value["rows"] == [{"user": "alice"}]
    assert get(asked, "who?target=192.0.2.7%2F24").status == 200
    assert get(asked, "who").status == get(asked, "limits?x=y").status == 200
    assert [question["target"] for question in orders(director)] == ["alice", "192.0.2.0/24", "", ""]
    assert get(asked, "limits?target=mb1a").status == 409


def test_more_rows_than_so_many_are_left_out_and_that_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MOST_ROWS", 2)
    place.start(moves=rows({"job": "a"}, {"job": "b"}, {"job": "c"}))
    assert get(api_of(place), "moves").value == {"ok": True, "rows": [{"job": "a"}, {"job": "b"}], "more": True}


def test_a_user_is_explained_as_on_the_command_line(place: Place) -> None:
    director = place.start(explain={"ok": True, "user": "alice"}, status={"ok": True, "node": "front1"})
    value = get(api_of(place), "explain/Alic%65").value
    assert (value["ok"], value["typed"], value["director"]) == (True, "Alice", {"user": "alice"})
    assert director.asked == [{"ask": "explain", "user": "alice", "shard": "s1", "preferred": ""}]
    assert get(api_of(place), "status").value == {"ok": True, "node": "front1"}
    assert get(api_of(place), "explain/%20").status == 400


@pytest.mark.parametrize("target", ["", "nothing", "explain", "explain/", "backends/x", "status/x", "kick/x", "../who"])
def test_there_is_nothing_else(place: Place, target: str) -> None:
    place.start()
    assert get(api_of(place), target).status == 404


# --- orders ---


@pytest.mark.parametrize(
    ("order", "body", "question"),
    [
        ("kick", {"target": "Alice"}, {"target": "alice"}),
        ("kick", {"target": "[2001:DB8::1]"}, {"target": "2001:db8::1"}),
        ("move", {"user": "Alice", "backend": "mb1a"}, {"user": "alice", "backend": "mb1a", "dry": False}),
        ("drain", {"backend": "mb1a", "dry": True}, {"backend": "mb1a", "dry": True}),
        ("standby", {"backend": "mb1a"}, {"backend": "mb1a"}),
        ("online", {"backend": "mb1a"}, {"backend": "mb1a"}),
        ("offline", {"backend": "mb1a"}, {"backend": "mb1a"}),
        ("flush", {"user": ""}, {"user": ""}),
        ("abort", {"job": "drain mb1a"}, {"job": "drain mb1a"}),
    ],
)
def test_an_order_is_passed_on(place: Place, order: str, body: dict[str, Any], question: dict[str, Any]) -> None:
    director = place.start(**{order: {"ok": True, "done": 1}})
    assert post(api_of(place), order, body).value == {"ok": True, "done": 1}
    assert orders(director) == [{"ask": order, **question}]


@pytest.mark.parametrize(
    "body",
    [{}, [], 1, None, b"", b"{", b"[" * 9000, {"target": 1}, {"target": None}, {"target": "x", "y": 1}, {"user": "x"}],
)
def test_an_order_that_says_something_else_is_not_passed_on(place: Place, body: object) -> None:
    director = place.start()
    assert post(api_of(place), "kick", body).status == 400
    assert director.asked == []


def test_not_everybody_can_be_kicked_at_once(place: Place) -> None:
    director = place.start()
    assert post(api_of(place), "kick", {"target": ""}).status == 409
    assert orders(director) == []


def test_an_order_is_json_and_says_so_which_a_form_of_a_web_page_cannot(place: Place) -> None:
    place.start()
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        assert post(api_of(place), "kick", {"target": "x"}, content_type=kind).status == 415


@pytest.mark.parametrize("length", ["", "-1", "+1", "1e3", "\u0661", "x"])
def test_an_order_tells_its_length(place: Place, length: str) -> None:
    place.start()
    assert post(api_of(place), "kick", {"target": "x"}, content_length=length).status == 411


def test_an_order_has_one_length_and_not_a_large_one(place: Place) -> None:
    place.start()
    assert post(api_of(place), "kick", {"target": "x"}, transfer_encoding="chunked").status == 411
    for length in ("16385", "9" * 50):
        assert post(api_of(place), "kick", {"target": "x"}, content_length=length).status == 413


def test_questions_are_asked_by_get_and_orders_given_by_post(place: Place) -> None:
    place.start()
    asked = api_of(place)
    for target in ("who", "status", "explain/alice"):
        assert post(asked, target, {}).headers == {"Allow": "GET, HEAD"}
    reply = get(asked, "drain")
    assert (reply.status, reply.headers) == (405, {"Allow": "POST"})


# --- what the director does ---


def test_a_refusal_of_the_director_is_a_conflict(place: Place) -> None:
    place.start(drain=refused("no backend is called 'x'"))
    reply = post(api_of(place), "drain", {"backend": "x"})
    assert (reply.status, reply.value) == (409, {"ok": False, "error": "no backend is called 'x'"})


def test_without_a_director_there_is_no_service(place: Place) -> None:
    reply = get(api_of(place), "status")
    assert (reply.status, reply.value["ok"]) == (503, False)


def test_only_so_many_ask_at_the_same_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "MOST_AT_ONCE", 1)
    asked_once, go_on = threading.Event(), threading.Event()

    def status(_: dict[str, Any]) -> dict[str, Any]:
        asked_once.set()
        go_on.wait(20)
        return {"ok": True}

    place.start(status=status)
    asked, replies = api_of(place), []
    first = threading.Thread(target=lambda: replies.append(get(asked, "status")))
    first.start()
    assert asked_once.wait(20)
    assert get(asked, "status").headers == {"Retry-After": "1"}
    go_on.set()
    first.join(20)
    assert replies[0].status == 200
    assert get(asked, "status").status == 200


# --- bodies ---


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_body_is_what_came_with_the_head_and_what_comes_after_it(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].sendall(b"target")
    assert receive(pair[0], b"the ", 8) == b"the targ"
    assert receive(pair[0], b"all of it and more", 3) == b"all"


def test_a_body_that_does_not_come_is_not_waited_for(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "BODY_TIME", 0.02)
    with pytest.raises(TimeoutError):
        receive(pair[0], b"", 5)
    pair[1].close()
    with pytest.raises(ConnectionError):
        receive(pair[0], b"the", 5)

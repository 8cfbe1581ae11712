"""Messages to real HTTP servers that behave as servers do, out of a store on disk. `office` and `target`: conftest."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from trimtab.rollout.spec import BakeStep, NotifyTarget, RolloutPlan, Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.rollout.conftest import Office, Target


def office_that_tells(office: Callable[[RolloutPlan], Office], *targets: NotifyTarget) -> Office:
    return office(
        RolloutPlan(
            steps=[Step(set_weight=10.0), Step(bake=BakeStep(duration="1h"))],
            notify=list(targets) or [NotifyTarget(url_env="HOOK")],
        )
    )


def test_a_webhook_gets_the_facts_and_slack_gets_words(
    office: Callable[[RolloutPlan], Office], target: Callable[..., Target]
) -> None:
    hook, slack = target(), target((200, b"ok", {"content-type": "text/html"}))
    made = office_that_tells(office, NotifyTarget(url_env="HOOK"), NotifyTarget(url_env="SLACK", format="slack"))
    made.variables.update({"HOOK": f"{hook.url}/in?team=a b", "SLACK": f"{slack.url}/services/T0/B0/token"})
    made.command("pause", "a <customer> & I want to look")
    assert made.turn() == []
    (facts,), (words,) = hook.received, slack.received
    assert facts.path == "/in?team=a%20b"
    assert facts.headers["content-type"] == "application/json"
    assert (facts.json["event"], facts.json["candidate"]["release"], facts.json["actor"]) == (
        "paused",
        "support-reply#42",
        "ann",
    )
    assert facts.headers["webhook-id"] == facts.json["id"]
    assert facts.json["id"] in {message.id for message in made.messages()}
    assert words.path == "/services/T0/B0/token"
    assert words.json == {
        "text": "support-reply#42 is paused in production, at 95 % of users (manual).\n"
        "Why: ann: a &lt;customer&gt; &amp; I want to look\n"
        f"Next: `trimtab rollout resume {made.id} --reason ...` goes on, "
        f"`trimtab rollout abort {made.id} --reason ...` withdraws it"
    }
    assert [message.status for message in made.messages()] == ["delivered", "delivered"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, b"oops", {}), "answered 500: oops"),
        ((307, b"", {"location": "/elsewhere"}), "answered 307, which leads elsewhere: redirects are not followed"),
        ((404, b"<h1>Not Found</h1>", {}), "answered 404: <h1>Not Found</h1>"),
        ("hang", "no complete answer within 0.5 s"),
        ("drip", "no complete answer within 0.5 s"),
        ("hang up", "closed"),
        ("babble", "the answer is not HTTP/1.1"),
    ],
    ids=["500", "redirect", "404", "hang", "drip", "hang up", "babble"],
)
def test_a_target_that_fails_is_told_again_under_the_same_id_once_it_works(
    office: Callable[[RolloutPlan], Office], target: Callable[..., Target], answer: Any, said: str
) -> None:
    hook = target(answer, (200, b"", {}))
    made = office_that_tells(office)
    made.variables["HOOK"] = hook.url
    made.command("pause")
    (line,) = made.turn()
    assert line.startswith("HOOK was not told of `paused`: ")
    assert said in line
    assert [message.status for message in made.messages()] == ["waiting"]
    assert made.turn(1) == []
    assert [message.status for message in made.messages()] == ["delivered"]
    assert [one.path for one in hook.received] == ["/", "/"]
    assert len({one.headers["webhook-id"] for one in hook.received}) == 1
    assert len({one.body for one in hook.received}) == 1


def test_an_answer_without_end_is_read_no_further_than_anybody_would(
    office: Callable[[RolloutPlan], Office], target: Callable[..., Target]
) -> None:
    made = office_that_tells(office)
    made.variables["HOOK"] = target("flood").url
    made.command("pause")
    assert made.turn() == []
    assert made.messages()[0].status == "delivered"


def test_nobody_listening_is_told_of_and_does_not_keep_the_others_from_being_told(
    office: Callable[[RolloutPlan], Office], target: Callable[..., Target], dead_url: str
) -> None:
    hook = target()
    made = office_that_tells(office, NotifyTarget(url_env="DEAD"), NotifyTarget(url_env="HOOK"))
    made.variables.update({"DEAD": dead_url, "HOOK": hook.url})
    made.command("pause")
    (line,) = made.turn()
    assert "DEAD was not told" in line
    assert "cannot connect to the webhook: Connection refused" in line
    assert len(hook.received) == 1


def test_what_is_signed_can_be_verified_and_a_password_is_sent_as_one(
    office: Callable[[RolloutPlan], Office], target: Callable[..., Target]
) -> None:
    hook = target()
    made = office_that_tells(office, NotifyTarget(url_env="HOOK", secret_env="KEY"))
    key = bytes(range(32))
    made.variables["HOOK"] = hook.url.replace("//", "//ann:p%40ss@") + "/in"
    made.variables["KEY"] = "whsec_" + base64.b64encode(key).decode()
    made.command("pause")
    made.turn()
    (got,) = hook.received
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{wanted}"
    assert got.headers["authorization"] == "Basic " + base64.b64encode(b"ann:p@ss").decode()


SECRETS = ("T0SECRET", "hunter2hunter2", "p4ssw0rd", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")


@pytest.mark.parametrize("answer", [(500, b"Cannot POST /hooks/T0SECRET?key=hunter2hunter2", {}), "hang", "babble"])
def test_no_word_of_an_address_or_a_secret_is_logged_or_stored(
    office: Callable[[RolloutPlan], Office],
    target: Callable[..., Target],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    answer: Any,
) -> None:
    caplog.set_level(logging.DEBUG)
    hook = target(answer)
    made = office_that_tells(office, NotifyTarget(url_env="HOOK", secret_env="KEY"))
    made.variables["HOOK"] = hook.url.replace("//", "//ann:p4ssw0rd@") + "/hooks/T0SECRET?key=hunter2hunter2"
    made.variables["KEY"] = f"whsec_{SECRETS[-1]}="
    made.command("pause")
    lines = made.turn()
    assert len(lines) == 1
    made.variables["HOOK"] = "ftp://hunter2hunter2.T0SECRET"
    lines += made.turn(1)
    assert "the environment variable HOOK holds no URL" in lines[1]
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    told = "\n".join(lines) + caplog.text + msgspec.json.encode(made.messages()).decode()
    for secret in SECRETS:
        assert secret not in told
        assert secret.encode() not in stored

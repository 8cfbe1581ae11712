"""What counts as a gate's word. How gates are asked is in tests/integration/rollout."""

from __future__ import annotations

import pytest

from trimtab.control.gatekeeper import read_answer
from trimtab.control.outbound import Reply

LOGIN = b"<!doctype html><title>Sign in</title><form>approved: true</form>"


@pytest.mark.parametrize(
    ("reply", "status", "reason"),
    [
        (Reply(200, b'{"approved": true}'), "approved", ""),
        (Reply(200, b'{"approved": true, "reason": "CHG-7"}'), "approved", "CHG-7"),
        (Reply(200, b'{"approved": false, "reason": "freeze\\nuntil Monday"}'), "refused", "freeze until Monday"),
        (Reply(200, b'{"approved": false}'), "refused", "no reason given"),
        (Reply(200, b'{"approved": null, "reason": "Bob is at lunch"}'), "pending", "Bob is at lunch"),
        (Reply(202, b'{"approved": true}'), "pending", "answered 202 without `approved: true` or `approved: false`"),
        (Reply(200, b'{"approved": "true"}'), "pending", "answered 200 without `approved: true` or `approved: false`"),
        (Reply(200, b'{"approved": 1}'), "pending", "answered 200 without `approved: true` or `approved: false`"),
        (Reply(200, b'{"reason": 5}'), "pending", "5"),
        (Reply(200, LOGIN), "pending", "answered 200 without a JSON object: is this the gate, or a login page?"),
        (Reply(200, b"\xff\xfe"), "pending", "answered 200 without a JSON object: is this the gate, or a login page?"),
        (Reply(200, b"true"), "pending", "answered 200 without a JSON object: is this the gate, or a login page?"),
        (Reply(204, b""), "pending", "answered 204 without a JSON object: is this the gate, or a login page?"),
        (Reply(302, b""), "pending", "answered 302, which leads elsewhere: redirects are not followed"),
        (Reply(403, b'{"approved": true}'), "pending", 'answered 403: {"approved": true}'),
        (Reply(503, b""), "pending", "answered 503"),
        ("no connection within 10 s", "pending", "no connection within 10 s"),
    ],
)
def test_only_a_plain_yes_approves_and_only_a_plain_no_refuses(reply: Reply | str, status: str, reason: str) -> None:
    assert read_answer(reply) == (status, reason)


def test_what_a_gate_says_is_kept_short_and_without_its_address() -> None:
    long = Reply(200, b'{"approved": false, "reason": "token-1234 ' + b"x" * 9999 + b'"}', hidden=("token-1234",))
    _, reason = read_answer(long)
    assert reason.startswith("*** xxx")
    assert len(reason) == 200

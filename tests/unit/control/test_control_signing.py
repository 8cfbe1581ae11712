"""Signatures as Standard Webhooks has them; the first case is the example its own libraries are tested with."""

from __future__ import annotations

import base64

import pytest

from trimtab.control.signing import secret_key, signed_headers
from trimtab.core.errors import InputError


def test_signatures_are_those_of_the_published_libraries() -> None:
    key = secret_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', key=key, now_ms=1_614_265_330_999)
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_without_a_key_nothing_is_signed_but_the_id_is_there_to_drop_repetitions_by() -> None:
    assert signed_headers("msg_1", b"{}", key=None, now_ms=5000) == {"webhook-id": "msg_1", "webhook-timestamp": "5"}


@pytest.mark.parametrize(
    "secret",
    [
        "correct-horse-battery-staple",
        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_",
        "whsec_not base64!",
        "whsec_" + base64.b64encode(b"short").decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_ü",
    ],
)
def test_what_receivers_could_not_verify_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(InputError) as raised:
        secret_key(secret)
    assert secret.removeprefix("whsec_") not in str(raised.value) or secret == "whsec_"

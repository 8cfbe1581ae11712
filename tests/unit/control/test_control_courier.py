"""Messages on their way: a scripted other side, a fake clock, the in-memory store."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from trimtab.control.courier import Courier
from trimtab.control.outbound import Correspondent, Reply
from trimtab.core.clock import FakeClock
from trimtab.core.errors import InputError, StorageError, UpstreamError
from trimtab.rollout.outbox import HOLD_MS, KEEP_MS, Message
from trimtab.storage.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SLACK = "https://hooks.slack.example/services/T0PSECRET/B0HIDDEN/xoxbTOKEN123"
VARIABLES = {"SLACK": SLACK, "OTHER": "http://other.example/hook", "HANGS": "http://hangs.example/", "BLANK": " "}


class OtherSide:
    """A `Poster`: what it answers is scripted, what it was sent is kept."""

    def __init__(self) -> None:
        self.answers: deque[Any] = deque()
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.released = asyncio.Event()

    async def post(self, url: str, body: bytes, *, headers: dict[str, str], timeout_seconds: float) -> Reply:
        self.received.append((url, headers, body))
        if "hangs" in url:
            await self.released.wait()
            raise UpstreamError("upstream_timeout", f"no complete answer within {timeout_seconds:g} s")
        answer = self.answers.popleft() if self.answers else Reply(200, b"ok")
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Reply)
        return answer

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in self.received]


class Post:
    """An outbox, and couriers that empty it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.other = OtherSide()
        self.variables = dict(VARIABLES)
        self.courier = self.another()

    def another(self, store: Any = None) -> Courier:
        correspondent = Correspondent(poster=self.other, secrets=self.variables.get, clock=self.clock)
        return Courier(store=store or self.store, clock=self.clock, correspondent=correspondent)

    def leave(self, number: int, target: str = "SLACK", **fields: Any) -> None:
        self.clock.advance(0.001)
        now_ms = self.clock.now_ms()
        message = Message(
            id=f"msg_{number}",
            rollout="ro_1",
            event="paused",
            url_env=target,
            body=b"{}",
            created_at_ms=now_ms,
            due_at_ms=now_ms,
            **fields,
        )
        with self.store.write() as tx:
            tx.add_message(message)

    async def turn(self, courier: Courier | None = None) -> list[str]:
        """One look, until what it began is over; returns what is told of it."""
        courier = courier or self.courier
        return courier.tick() + await courier.settle()

    def message(self, number: int) -> Message:
        with self.store.read() as tx:
            return next(one for one in tx.messages("ro_1") if one.id == f"msg_{number}")


def told(story: Callable[[Post], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story(Post()))


def test_a_message_is_sent_once_with_its_id_and_stays_on_record() -> None:
    async def story(post: Post) -> None:
        post.leave(1)
        assert await post.turn() == []
        assert await post.turn() == []
        assert post.other.received == [
            (SLACK, {"webhook-id": "msg_1", "webhook-timestamp": str(post.clock.now_ms() // 1000)}, b"{}")
        ]
        assert (post.message(1).status, post.message(1).attempts) == ("delivered", 1)

    told(story)


def test_a_target_that_fails_is_tried_again_later_with_the_same_id() -> None:
    async def story(post: Post) -> None:
        post.other.answers += [
            Reply(500, b"down"),
            UpstreamError("upstream_unreachable", "cannot connect"),
            Reply(204, b""),
        ]
        post.leave(1)
        assert await post.turn() == [
            "SLACK was not told of `paused`: answered 500: down; next try in 1 s (ro_1)",
        ]
        assert await post.turn() == []  # not due yet
        post.clock.advance(1)
        assert "cannot connect; next try in 2 s" in (await post.turn())[0]
        assert post.message(1).error == "cannot connect"
        post.clock.advance(2)
        assert await post.turn() == []
        assert post.other.ids == ["msg_1"] * 3
        assert (post.message(1).status, post.message(1).error, post.message(1).attempts) == ("delivered", "", 3)

    told(story)


def test_a_day_of_refusals_is_enough_and_what_was_not_told_stays_visible() -> None:
    async def story(post: Post) -> None:
        post.other.answers += [Reply(410, b"no_service")] * 1000
        post.leave(1)
        lines: list[str] = []
        while post.message(1).status == "waiting":
            lines += await post.turn()
            post.clock.advance(60)
        assert lines[-1] == "SLACK was not told of `paused`: answered 410: no_service; given up (ro_1)"
        assert (post.message(1).status, post.message(1).error) == ("given_up", "answered 410: no_service")
        sent = len(post.other.ids)
        assert 90 < sent < 120
        post.clock.advance(86_400)
        await post.turn()
        assert len(post.other.ids) == sent

    told(story)


def test_a_target_that_hangs_holds_up_nobody_else_and_is_asked_one_thing_at_a_time() -> None:
    async def story(post: Post) -> None:
        for number in range(50):
            post.leave(number, "HANGS")
        post.leave(50)
        for _ in range(5):
            post.courier.tick()
            await asyncio.sleep(0)
        assert sorted(post.other.ids) == ["msg_0", "msg_50"]
        assert [post.message(number).attempts for number in range(3)] == [1, 0, 0]
        post.other.released.set()
        await post.courier.settle()

    told(story)


def test_a_target_is_told_things_in_the_order_in_which_they_happened() -> None:
    async def story(post: Post) -> None:
        for number in range(4):
            post.leave(number)
        for _ in range(4):
            await post.turn()
        assert post.other.ids == ["msg_0", "msg_1", "msg_2", "msg_3"]

    told(story)


def test_no_more_than_so_many_are_spoken_to_at_once() -> None:
    async def story(post: Post) -> None:
        for number in range(30):
            post.variables[f"HANGS{number}"] = f"http://hangs.example/{number}"
            post.leave(number, f"HANGS{number}")
        for _ in range(3):
            post.courier.tick()
            await asyncio.sleep(0)
        assert len(post.other.received) == 20
        post.other.released.set()
        await post.courier.settle()
        await post.turn()
        assert len(post.other.received) == 30

    told(story)


def test_whoever_dies_with_a_message_in_hand_loses_it_to_the_next_who_sends_it_under_the_same_id() -> None:
    async def story(post: Post) -> None:
        post.leave(1, "HANGS")
        post.courier.tick()
        await asyncio.sleep(0)
        heir = post.another()
        assert await post.turn(heir) == []
        post.variables["HANGS"] = VARIABLES["OTHER"]
        post.clock.advance(HOLD_MS / 1000 - 0.001)
        await post.turn(heir)
        assert len(post.other.ids) == 1
        post.clock.advance(0.001)
        await post.turn(heir)
        assert post.other.ids == ["msg_1", "msg_1"]
        assert post.message(1).status == "delivered"
        post.other.released.set()
        await post.courier.settle()

    told(story)


def test_two_couriers_share_the_work() -> None:
    async def story(post: Post) -> None:
        for number in range(10):
            post.leave(number)
        heir = post.another()
        for _ in range(5):
            await asyncio.gather(post.turn(), post.turn(heir))
        assert sorted(post.other.ids) == sorted(f"msg_{number}" for number in range(10))

    told(story)


@pytest.mark.parametrize(
    ("target", "value", "said"),
    [
        ("MISSING", None, "the environment variable MISSING is not set where the server runs"),
        ("BLANK", " ", "the environment variable BLANK is not set where the server runs"),
        ("SLACK", "slackhook-T0PSECRET", "the environment variable SLACK holds no URL"),
    ],
)
def test_a_variable_that_holds_no_address_is_named_and_its_value_is_not(
    target: str, value: str | None, said: str
) -> None:
    async def story(post: Post) -> None:
        if value is not None:
            post.variables[target] = value
        if target == "SLACK":
            post.other.answers.append(InputError("malformed_url", f"`{value}` is not a URL"))
        post.leave(1, target)
        assert said in (await post.turn())[0]
        assert post.message(1).error == said

    told(story)


def test_a_target_that_repeats_its_address_does_not_get_it_into_logs_or_the_store() -> None:
    async def story(post: Post) -> None:
        echo = b"Cannot POST /services/T0PSECRET/B0HIDDEN/xoxbTOKEN123\n  at https://hooks.slack.example"
        post.other.answers.append(Reply(404, echo))
        post.leave(1)
        (line,) = await post.turn()
        for secret in ("T0PSECRET", "B0HIDDEN", "xoxbTOKEN123"):
            assert secret not in line + post.message(1).error
        assert "answered 404: Cannot POST /***/***/***/***" in line

    told(story)


def test_messages_are_signed_for_each_attempt_with_the_secret_of_the_moment() -> None:
    async def story(post: Post) -> None:
        post.leave(1, secret_env="KEY")
        assert "the environment variable KEY is not set" in (await post.turn())[0]
        post.variables["KEY"] = "hunter2hunter2hunter2hunter2"
        post.clock.advance(1)
        (line,) = await post.turn()
        assert "the environment variable KEY holds no secret as Standard Webhooks has it" in line
        assert "hunter2" not in line + post.message(1).error
        assert post.other.received == []
        post.variables["KEY"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        post.clock.advance(2)
        await post.turn()
        headers = post.other.received[0][1]
        assert headers["webhook-signature"].startswith("v1,")
        assert headers["webhook-timestamp"] == str(post.clock.now_ms() // 1000)

    told(story)


def test_a_redirect_is_not_followed_and_said_to_be_one() -> None:
    async def story(post: Post) -> None:
        post.other.answers.append(Reply(302, b"<html>login</html>"))
        post.leave(1)
        assert "answered 302, which leads elsewhere: redirects are not followed" in (await post.turn())[0]

    told(story)


class FailingStore:
    """A store whose disk is full when told so."""

    def __init__(self, inner: MemoryStore) -> None:
        self.full = False
        self._inner = inner
        self.read = inner.read

    def write(self) -> Any:
        if self.full:
            raise StorageError("disk_full", "no space left on the device")
        return self._inner.write()

    def close(self) -> None:
        self._inner.close()


def test_a_delivery_that_cannot_be_noted_is_told_of_and_made_again() -> None:
    async def story(post: Post) -> None:
        store = FailingStore(post.store)
        courier = post.another(store)
        post.leave(1)
        courier.tick()
        store.full = True
        (line,) = await courier.settle()
        assert line == "SLACK: StorageError: no space left on the device"
        store.full = False
        post.clock.advance(HOLD_MS / 1000)
        await post.turn(courier)
        assert post.other.ids == ["msg_1", "msg_1"]
        assert post.message(1).status == "delivered"

    told(story)


def test_what_is_settled_is_forgotten_after_a_month_and_what_waits_is_not() -> None:
    async def story(post: Post) -> None:
        post.leave(1)
        post.leave(2, "HANGS")
        post.courier.tick()
        await asyncio.sleep(0.01)
        post.clock.advance(KEEP_MS / 1000 - 1)
        post.courier.tick()
        assert post.message(1).status == "delivered"
        post.clock.advance(3601)
        post.courier.tick()
        with post.store.read() as tx:
            assert [message.id for message in tx.messages("ro_1")] == ["msg_2"]
        post.other.released.set()
        await post.courier.settle()

    told(story)

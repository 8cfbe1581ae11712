"""Where a setting comes from, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.bootstrap.control import open_control
from trimtab.bootstrap.data_plane import endpoints
from trimtab.bootstrap.environment import child_environment, data_folder
from trimtab.bootstrap.settings import ENVIRONMENT_VARIABLES, ProviderSettings, Settings, load_settings
from trimtab.core.errors import InputError, SourceError


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for variable in ENVIRONMENT_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def write(text: str, name: str = "trimtab.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def refused(text: str = "", **environ: str) -> InputError:
    if text:
        write(text)
    with pytest.raises(InputError) as caught:
        load_settings(environ=environ)
    return caught.value


def test_without_a_file_everything_listens_on_loopback_only(tmp_path: Path) -> None:
    settings = load_settings(environ={})
    assert (settings.gateway.host, settings.server.host) == ("127.0.0.1", "127.0.0.1")
    assert settings.environment == "production"
    assert settings.data_directory.root == tmp_path / ".trimtab"
    assert settings.gateway.trust_network is False


def test_the_file_in_the_working_directory_is_read() -> None:
    write('environment = "staging"\n[gateway]\nport = 1\n')
    settings = load_settings(environ={})
    assert (settings.environment, settings.gateway.port) == ("staging", 1)
    assert settings.gateway.drain_seconds == 30.0  # what a section leaves out keeps its default


def test_a_flag_beats_the_environment_which_beats_the_file() -> None:
    config = write("[gateway]\nport = 1\n[server]\nport = 2\n", "other.toml")
    environ = {"TRIMTAB_GATEWAY_PORT": "3", "TRIMTAB_SERVER_PORT": "4"}
    assert load_settings(config=config, environ={}).gateway.port == 1
    settings = load_settings(config=config, environ=environ, flags={"server.port": 5, "gateway.port": None})
    assert (settings.gateway.port, settings.server.port) == (3, 5)


@pytest.mark.parametrize("variable", sorted(ENVIRONMENT_VARIABLES))
def test_every_environment_variable_reaches_its_setting(variable: str) -> None:
    path = ENVIRONMENT_VARIABLES[variable]
    value = {"port": "1234", "log_format": "json"}.get(path[-1], "given")
    found = msgspec.to_builtins(load_settings(environ={variable: value}))
    for key in path:
        found = found[key]
    assert str(found) == value


@given(
    port=st.integers(0, 65535),
    host=st.ip_addresses().map(str),
    environment=st.from_regex(r"[a-z]{1,8}", fullmatch=True),
)
def test_what_the_environment_says_is_what_a_file_would_say(port: int, host: str, environment: str) -> None:
    config = write(f'environment = "{environment}"\n[server]\nport = {port}\nhost = "{host}"\n', "same.toml")
    environ = {"TRIMTAB_SERVER_PORT": str(port), "TRIMTAB_SERVER_HOST": host, "TRIMTAB_ENVIRONMENT": environment}
    assert load_settings(environ=environ) == load_settings(config=config, environ={})


def test_an_unknown_key_is_refused_with_its_path_and_the_nearest_key() -> None:
    error = refused("[gateway]\nprot = 8400\n")
    assert error.code == "invalid_setting"
    assert "`prot`" in error.message
    assert "$.gateway" in error.message
    assert error.hint == "did you mean `port`?"


def test_a_key_like_no_other_is_refused_with_the_place_of_the_list() -> None:
    assert refused("zzzzzz = 1\n").hint == "the settings reference lists every key with its type and default"


@pytest.mark.parametrize(
    ("text", "environ", "path"),
    [
        ('[gateway]\nport = "many"\n', {}, "$.gateway.port"),
        ("", {"TRIMTAB_SERVER_PORT": "many"}, "$.server.port"),
        ("environment = 3\n", {}, "$.environment"),
        ("[providers.mine]\napi_key_env = 'KEY'\n", {}, "$.providers"),
        ("gateway = 3\n", {}, "$.gateway"),
        ("gateway = 3\n", {"TRIMTAB_GATEWAY_PORT": "1"}, "$.gateway"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_path(text: str, environ: dict[str, str], path: str) -> None:
    error = refused(text, **environ)
    assert error.code == "invalid_setting"
    assert path in error.message


def test_a_secret_in_the_file_is_not_a_setting() -> None:
    error = refused('[providers.openai]\nbase_url = "http://x/v1"\napi_key = "sk-very-secret"\n')
    assert "`api_key`" in error.message
    assert "sk-very-secret" not in str(error)


def test_malformed_toml_is_refused_with_file_and_line() -> None:
    error = refused("environment = 'production'\n[gateway\n")
    assert isinstance(error, SourceError)
    assert (error.code, error.path) == ("malformed_toml", "trimtab.toml")
    assert "line 2" in error.message


def test_a_file_that_is_not_text_is_refused_with_the_byte() -> None:
    Path("trimtab.toml").write_bytes(b'actor = "\xff"\n')
    error = refused()
    assert (error.code, error.message) == ("not_utf8", "byte 9 is not UTF-8")


def test_a_file_that_was_named_must_be_there() -> None:
    with pytest.raises(SourceError) as caught:
        load_settings(config=Path("absent.toml"), environ={})
    assert (caught.value.code, caught.value.path) == ("unreadable_file", "absent.toml")


def test_openai_and_anthropic_are_known_without_being_named_and_can_be_moved() -> None:
    assert load_settings(environ={}).providers == {
        "openai": ProviderSettings(base_url="https://api.openai.com/v1", api_key_env="OPENAI_API_KEY"),
        "anthropic": ProviderSettings(base_url="https://api.anthropic.com/v1", api_key_env="ANTHROPIC_API_KEY"),
    }
    write('[providers.openai]\nbase_url = "http://127.0.0.1:1/v1"\n[providers.mine]\nbase_url = "http://mine/v1"\n')
    providers = load_settings(environ={}).providers
    assert providers["openai"].base_url == "http://127.0.0.1:1/v1"
    assert providers["openai"].api_key_env == "OPENAI_API_KEY"
    assert providers["mine"].api_key_env == ""


def test_a_provider_gets_the_key_its_variable_holds() -> None:
    settings = Settings(
        providers={
            "a": ProviderSettings(base_url="http://a/v1", api_key_env="A_KEY"),
            "b": ProviderSettings(base_url="http://b/v1"),
        }
    )
    found = endpoints(settings, {"A_KEY": "secret-a", "": "never this"})
    assert {name: endpoint.api_key for name, endpoint in found.items()} == {"a": "secret-a", "b": ""}
    assert endpoints(settings, {})["a"].api_key == ""


def test_a_child_takes_its_settings_from_its_folder_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIMTAB_GATEWAY_PORT", "1")
    monkeypatch.setenv("TRIMTAB_DIRECTORY", "/elsewhere")
    monkeypatch.setenv("A_PROVIDER_KEY", "k")
    child = child_environment(tmp_path)
    assert child["TRIMTAB_DIRECTORY"] == str(tmp_path / ".trimtab")
    assert "TRIMTAB_GATEWAY_PORT" not in child
    assert child["A_PROVIDER_KEY"] == "k"


def test_a_replay_without_data_says_how_to_name_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIMTAB_DATA", raising=False)
    with pytest.raises(InputError, match="TRIMTAB_DATA") as caught:
        data_folder()
    assert "TRIMTAB_DATA" in str(caught.value.hint)
    monkeypatch.setenv("TRIMTAB_DATA", "/somewhere")
    assert data_folder() == Path("/somewhere")


def test_changes_are_booked_to_the_actor_of_the_settings(tmp_path: Path) -> None:
    plane = open_control(load_settings(environ={"TRIMTAB_ACTOR": "ada", "TRIMTAB_ENVIRONMENT": "staging"}))
    try:
        key, _secret = plane.create_key("support")
        assert (plane.actor, plane.environment, key.created_by) == ("ada", "staging", "ada")
        assert (tmp_path / ".trimtab" / "snapshots" / "staging.json").exists()
    finally:
        plane.close()


def test_retries_and_the_breaker_have_sections_of_their_own() -> None:
    write("[gateway.retry]\nmax_attempts = 5\n[gateway.breaker]\nopen_seconds = 0.5\n")
    gateway = load_settings(environ={}).gateway
    assert (gateway.retry.max_attempts, gateway.retry.base_seconds) == (5, 0.25)
    assert (gateway.breaker.open_seconds, gateway.breaker.failure_rate) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("[gateway.retry]\nmax_attemps = 2", "$.gateway.retry", "did you mean `max_attempts`?"),
        ("[gateway.retry]\nmax_attempts = 0", "$.gateway.retry.max_attempts", None),
        ("[gateway.breaker]\nfailure_rate = 1.5", "$.gateway.breaker.failure_rate", None),
        ("[gateway.breaker]\nopen_seconds = nan", "$.gateway.breaker.open_seconds", None),
    ],
)
def test_a_policy_that_cannot_be_is_refused_with_its_path(text: str, place: str, hint: str | None) -> None:
    error = refused(text)
    assert place in error.message
    assert hint is None or error.hint == hint

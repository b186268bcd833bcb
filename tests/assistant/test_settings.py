"""Settings: environment over file over default, and every fault named at once with its mend."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from assistant.errors import SettingsError
from assistant.settings import Retrain, home, load
from finetune.recipe import METHODS


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and no variables of ours."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith("DESKHAND_"):
            monkeypatch.delenv(name)


def write(text: str, name: str = "deskhand.toml") -> Path:
    file = Path(name)
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults_serve_this_machine_only() -> None:
    settings = load()
    assert settings.serve.host == "127.0.0.1" and settings.company.languages == ("en",)
    assert settings.encoder.model == "all-MiniLM-L6-v2"


def test_environment_beats_file_beats_default(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[serve]\nport = 9000\nhost = "0.0.0.0"\n[company]\nname = "Fernwood"\n')
    monkeypatch.setenv("DESKHAND_SERVE__PORT", "8080")
    monkeypatch.setenv("DESKHAND_COMPANY__LANGUAGES", '["en", "zh"]')
    settings = load()
    assert settings.serve.port == 8080 and settings.serve.host == "0.0.0.0"
    assert settings.company.name == "Fernwood" and settings.company.languages == ("en", "zh")
    assert settings.retrieve.k == 8


def test_every_fault_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[serve]\nport = 99999\nhots = "x"\n[encoder]\ndtype = "float16"\n[answr]\nk = 1\n')
    monkeypatch.setenv("DESKHAND_RETRIEVE__K", "0")
    monkeypatch.setenv("DESKHAND_SERVE__PROT", "1")
    with pytest.raises(SettingsError) as caught:
        load()
    faults = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 6
    assert "deskhand.toml: 6 setting(s)" in str(caught.value)
    assert "serve.port = 99999" in faults and "retrieve.k" in faults and "encoder.dtype" in faults
    assert "serve.hots: unknown setting; did you mean 'serve.host'?" in faults
    assert "answr: unknown setting; did you mean 'answer'?" in faults
    assert "DESKHAND_SERVE__PROT: unknown variable; did you mean 'serve.port'?" in faults


def test_an_unknown_variable_is_named_even_without_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESKHAND_ANSWER__MIN_CONFIDENC", "0.9")
    with pytest.raises(SettingsError, match=r"environment: 1 .*\n.*DESKHAND_ANSWER__MIN_CONFIDENC.*answer\.min_confidence"):
        load()


def test_a_list_that_is_no_json_names_the_variable_and_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESKHAND_COMPANY__LANGUAGES", "en")
    with pytest.raises(SettingsError, match=r'DESKHAND_COMPANY__LANGUAGES.*lists are written as JSON.*\["en", "zh"\]'):
        load()


@pytest.mark.parametrize("text", ["[serve\nport = 1", "port\nhost = 1", "a = 1\na = 2\nb = 3"])
def test_bad_toml_is_named_with_its_line(text: str) -> None:
    write(text)
    with pytest.raises(SettingsError, match=r"deskhand\.toml.*\n.*not valid TOML.*line"):
        load()


def test_a_file_that_is_no_text_is_named() -> None:
    Path("deskhand.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="not valid TOML"):
        load()


def test_orders_to_the_settings_library_are_no_settings() -> None:
    write('_env_file = "secrets"\n_cli_parse_args = true\n')
    with pytest.raises(SettingsError) as caught:
        load()
    assert caught.value.faults == ("_env_file: unknown setting", "_cli_parse_args: unknown setting")


def test_a_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"other\.toml.*\n.*does not exist"):
        load(Path("other.toml"))
    monkeypatch.setenv("DESKHAND_CONFIG", "third.toml")
    with pytest.raises(SettingsError, match=r"third\.toml"):
        load()


def test_the_config_variable_names_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[serve]\nport = 1\n")
    monkeypatch.setenv("DESKHAND_CONFIG", str(write("[serve]\nport = 2\n", "other.toml")))
    assert load().serve.port == 2


def test_settings_do_not_change_while_serving() -> None:
    with pytest.raises(ValidationError):
        load().serve.port = 1


def test_home_is_the_variable_or_a_folder_here(tmp_path: Path) -> None:
    assert home({"DESKHAND_HOME": str(tmp_path / "h")}) == tmp_path / "h"
    assert home({}) == Path(".deskhand").resolve()
    assert home({"DESKHAND_HOME": ""}) == Path(".deskhand").resolve()


def test_learning_is_on_every_night_and_promotes_by_itself_unless_told_otherwise() -> None:
    settings = load()
    assert settings.schedule.retrain == "0 3 * * *" and settings.schedule.timezone == "UTC"
    assert settings.retrain.tasks == ("intent",) and settings.retrain.auto_promote and not settings.retrain.floors
    write('[retrain]\ntasks = ["intent", "dialog"]\nfloors = { refund = 0.9 }\n[schedule]\nretrain = " "\n')
    settings = load()
    assert settings.retrain.tasks == ("intent", "dialog") and settings.retrain.floors == {"refund": 0.9}
    assert settings.schedule.retrain == ""


def test_faults_of_learning_and_schedule_are_told_at_once_with_the_mend() -> None:
    write(
        '[retrain]\ntasks = ["intent", "intent"]\nmin_examples = -1\nmax_drop = nan\nholdout_share = 0\nmax_minutes = inf\n'
        'method = "magic"\nfloors = { refund = 1.5 }\n'
        '[schedule]\nretrain = "0 25 * * *"\ntimezone = "Europe/Berln"\nlease_s = 0\ncheck_rollouts_s = -5\n'
    )
    with pytest.raises(SettingsError) as caught:
        load()
    faults = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 11
    assert 'schedule.retrain = "0 25 * * *": ' in faults and '(or "" for never)' in faults
    assert "schedule.timezone = \"Europe/Berln\": no such time zone; did you mean 'Europe/Berlin'?" in faults
    assert "retrain.tasks" in faults and "intent stands there twice" in faults
    for key in ("min_examples", "max_drop", "holdout_share", "max_minutes", "method", "floors.refund"):
        assert f"retrain.{key} = " in faults
    assert "schedule.lease_s = 0" in faults and "schedule.check_rollouts_s = -5" in faults


@pytest.mark.parametrize("zone", ["", "../etc/passwd", "America", "\x00", "/etc/localtime"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    write(f"[schedule]\ntimezone = {json.dumps(zone)}\n")
    with pytest.raises(SettingsError, match="no such time zone"):
        load()


GOOD_SECRET = "whsec_" + "QUJD" * 8


def test_monitor_watches_and_tells_nobody_unless_told_otherwise() -> None:
    settings = load()
    assert settings.monitor.enabled and settings.monitor.false_alerts == 1.0 and settings.monitor.per_days == 28
    assert settings.notify.webhooks == settings.notify.apprise == () and not settings.notify.allow_private
    write(
        "[monitor]\nnegative_above = { zh = 0.6 }\n"
        f'[[notify.webhooks]]\nname = "ops"\nurl = "https://hook.example/x"\nsecret = "{GOOD_SECRET}"\n'
        '[[notify.apprise]]\nname = "team"\nurl = "mailtos://user:passw0rd@mail.example"\n'
    )
    settings = load()
    assert settings.monitor.negative_above == {"zh": 0.6} and settings.notify.give_up_hours == 72
    assert settings.notify.webhooks[0].secret == GOOD_SECRET and settings.notify.apprise[0].name == "team"
    assert "whsec_" not in repr(settings) and "passw0rd" not in repr(settings)


def test_faults_of_monitor_and_receivers_are_told_at_once_without_their_secrets() -> None:
    write(
        '[monitor]\nfalse_alerts = 0\nminimum = 0\nnegative_above = { zh = 60 }\ndaily = "7"\ncheck_s = 0\n'
        "[notify]\ngive_up_hours = 0\n"
        '[[notify.webhooks]]\nname = "a b"\nurl = "ftp://hook.example/t0ken"\nsecret = "whsec_hush"\n'
        '[[notify.apprise]]\nname = "team"\nurl = "t0ken"\npasswrd = "hush"\n'
    )
    with pytest.raises(SettingsError) as caught:
        load()
    faults = "\n".join(caught.value.faults)
    assert len(caught.value.faults) == 11
    for key in ("false_alerts", "minimum", "negative_above.zh", "daily", "check_s"):
        assert f"monitor.{key} = " in faults
    assert "notify.give_up_hours = 0" in faults
    assert "notify.webhooks.0.url: the URL begins with 'ftp', not http or https" in faults
    assert "notify.webhooks.0.secret: " in faults and "make one with: python" in faults
    assert "notify.webhooks.0.name: " in faults and "notify.apprise.0.url: no apprise URL" in faults
    assert "notify.apprise.0.passwrd: unknown setting" in faults
    assert "t0ken" not in faults and "hush" not in faults


def test_receivers_named_twice_or_inside_the_network_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = f'[[notify.webhooks]]\nname = "ops"\nurl = "http://0x7f.1:8080/t0ken"\nsecret = "{GOOD_SECRET}"\n'
    write(hook + '[[notify.apprise]]\nname = "ops"\nurl = "json://hook.example"\n')
    with pytest.raises(SettingsError) as caught:
        load()
    (fault,) = caught.value.faults
    assert "receiver 'ops' stands there twice" in fault and "t0ken" not in fault and GOOD_SECRET not in fault
    assert "webhook 'ops' goes to 0x7f.1, which is loopback" in fault and "notify.allow_private = true" in fault
    write(hook)
    monkeypatch.setenv("DESKHAND_NOTIFY__ALLOW_PRIVATE", "true")
    assert load().notify.webhooks[0].name == "ops"


def test_methods_are_those_of_training() -> None:
    allowed = Retrain.model_fields["method"].annotation
    assert set(get_args(allowed)) == set(METHODS)

import copy
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofa_lab.errors import InputError
from twofa_lab.traffic.geography import geography
from twofa_lab.traffic.scenario import Scenario, scenario_names
from twofa_lab.traffic.simulate import simulate

FOLDER = Path(str(files("twofa_lab.traffic") / "scenarios"))
NAMES = ("us-consumer", "mobile-first-whatsapp", "public-sso", "workforce")


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert text
    assert "\n" not in text
    return text


def refusal(call: Callable[[], object]) -> str | None:
    """The one line with which a call is refused, None where it is not."""
    try:
        call()
    except InputError as error:
        text = str(error)
    else:
        return None
    assert text
    assert "\n" not in text
    return text


def paths(content: dict, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key of a scenario, as a path from the top."""
    found = []
    for key, value in content.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += paths(value, (*prefix, key))
    return found


CONTENT = Scenario.load("us-consumer").model_dump(mode="json")
PATHS = paths(CONTENT)
MAPPINGS = sorted({path[:-1] for path in PATHS})


# --- the shipped files


def test_the_default_comes_first():
    assert tuple(scenario_names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_scenario_is_called_like_its_file_and_survives_its_own_form(name):
    scenario = Scenario.load(name)
    assert scenario.name == name
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


LEAF = re.compile(r"""^\s*(?:-\s+)?(?:["\w-]+:\s+[^\s#]|\{)""")


def unsourced(text: str) -> list[str]:
    """Lines that set something but name neither a source nor an assumption."""
    return [
        line
        for line in text.splitlines()
        if LEAF.match(line)
        and not re.match(r"(name|title):", line)
        and not re.search(r"source: \S|assumption", line.partition("#")[2])
    ]


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_names_its_source_or_says_assumption(name):
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert unsourced(text) == []
    assert len([line for line in text.splitlines() if LEAF.match(line)]) > 50


@pytest.mark.parametrize(
    "line",
    [
        "rtt: 0.1",
        "  rtt: 0.1   # measured",
        "  - {kind: outage}",
        '  "NO": 0.4 # source:',
        "a: [1]",
    ],
)
def test_a_figure_without_a_source_is_seen(line):
    assert unsourced(line) == [line]


def test_brazils_channels_lie_within_the_published_ranges():
    brazil = Scenario.load("mobile-first-whatsapp").delivery["BR"]
    published = {  # arrive (%), seconds: one vendor, in the people reference
        "whatsapp": ((98, 99), (1, 2)),
        "sms": ((95, 98), (2, 5)),
        "voice": ((90, 93), (5, 8)),
    }
    for channel, ((low, high), (quick, slow)) in published.items():
        carrier = brazil[channel]
        assert low <= 100 * (1 - carrier.loss) <= high, channel
        assert quick <= carrier.seconds.median <= slow, channel


# --- bad input


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("people__slip_rate", -0.1),
        ("people__slip_rate", 1.1),
        ("people__slip_rate", float("nan")),
        ("people__slip_rate", "often"),
        ("people__activity", {"median": 9, "p90": 2, "p99": 28}),
        ("people__activity", {"median": 2, "p90": 9, "p99": 1e9}),
        ("people__device_counts", [0, 0, 0, 0]),
        ("people__device_counts", [1, 1, 1, 1, 1]),
        ("people__countries", {}),
        ("people__countries", {"US": 0.0}),
        ("people__countries", {"XX": 1.0}),
        ("people__countries", {"us": 1.0}),
        ("people__countries", {False: 1.0}),
        ("people__vpn_people", 1.0),
        ("people__whatsapp", {"US": 0.3}),
        ("people__line_types", {"satellite": 1.0}),
        ("people__factors", {"otp": 0.5}),
        ("calendar__hours", [1.0] * 23),
        ("calendar__hours", [0.0] * 24),
        ("calendar__weeks", [0, 0, 0]),
        ("calendar__habit_spread_hours", 0.0),
        ("delivery", {"default": {"sms": {"loss": 0, "seconds": {"median": 1, "sigma": 1}}}}),
        ("attacks__sim_swap__network", [0, 0, 0]),
        ("attacks__sim_swap__reach_per_year", float("inf")),
        ("attackers_from", {}),
        ("costs__message", {"sms": 0.01}),
        ("costs__takeover", -1),
        ("warmup_days", -1),
        ("warmup_days", 1.5),
        ("start", "0001-01-01"),
        ("start", "2026-02-30"),
        ("service_city", "Ashburn"),
        ("name", "../../etc/passwd"),
        ("incidents", [{"kind": "flood", "channel": "sms", "day": 1, "hour": 1, "hours": 1,
                        "loss": 1}]),
        ("incidents", [{"kind": "carrier_outage", "channel": "sms", "countries": ["ZZ"], "day": 1,
                        "hour": 1, "hours": 1, "loss": 1}]),
    ],
)  # fmt: skip
def test_an_impossible_value_is_refused_in_one_line(setting, value):
    with pytest.raises(InputError) as error:
        Scenario.load("us-consumer").changed(**{setting: value})
    one_line(error)


def test_an_unknown_attack_is_refused():
    attacks = {**CONTENT["attacks"], "mind_reading": CONTENT["attacks"]["sim_swap"]}
    with pytest.raises(InputError, match="mind_reading"):
        Scenario.load("us-consumer").changed(attacks=attacks)


def test_a_country_without_a_city_is_refused_by_name():
    places = geography()
    empty = places.countries[int((places.largest < 0).argmax())]
    with pytest.raises(InputError, match=f"{empty} has no city"):
        Scenario.load("us-consumer").changed(people__countries={"US": 0.9, empty: 0.1})


def test_a_service_city_of_another_country_is_refused():
    with pytest.raises(InputError, match="NO has no city 'Ashburn'"):
        simulate(Scenario.load("us-consumer").changed(service_city="NO:Ashburn"), 10, 1)


def test_a_setting_that_does_not_exist_cannot_be_changed():
    for setting in ("people__slip", "rtt_measured__share", "nothing__at__all"):
        with pytest.raises(InputError, match=setting.replace("__", ".")):
            Scenario.load("us-consumer").changed(**{setting: 1})


def test_norway_without_quotes_is_told_apart_from_false(tmp_path):
    text = (FOLDER / "public-sso.yaml").read_text(encoding="utf-8").replace('"NO"', "NO")
    file = tmp_path / "norway.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match='write "NO" in quotes') as error:
        Scenario.load(file)
    assert one_line(error).startswith(str(file))


def test_no_such_scenario_names_those_there_are():
    with pytest.raises(InputError, match="us-consumer, mobile-first-whatsapp"):
        Scenario.load("us-customer")


@given(st.sampled_from(MAPPINGS), st.text(min_size=1, max_size=12))
@settings(max_examples=40)
def test_an_unknown_key_is_refused_wherever_it_stands(path, key):
    content = copy.deepcopy(CONTENT)
    place = content
    for name in path:
        place = place[name]
    if key in place:
        return
    place[key] = 1
    with pytest.raises(ValueError, match=r"extra_forbidden|no country|Input should be|no kind"):
        Scenario.model_validate(content)


@given(
    st.sampled_from(PATHS),
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=8)
    | st.lists(st.floats(), max_size=3)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
@settings(max_examples=300)
def test_any_value_anywhere_is_taken_or_refused_in_one_line(path, value):
    refusal(lambda: Scenario.model_validate(CONTENT).changed(**{"__".join(path): value}))


def test_a_file_cut_short_is_refused_or_the_same_but_for_its_last_figure(tmp_path):
    whole = (FOLDER / "us-consumer.yaml").read_bytes()
    full = Scenario.load("us-consumer").changed(costs__takeover=0)
    file = tmp_path / "cut.yaml"
    taken = 0
    for length in range(0, len(whole), 50):
        file.write_bytes(whole[:length])
        text = refusal(lambda: Scenario.load(file))
        if text is None:
            taken += 1
            assert Scenario.load(file).changed(costs__takeover=0) == full, length
        else:
            assert text.startswith(str(file)), length
    assert taken < 4  # cut inside the last line


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_at_all_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "any.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError) as error:
        Scenario.load(file)
    one_line(error)

"""Attackers built from rows: they know what their model says, and nothing else tells them apart."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from twofa_lab.errors import InputError
from twofa_lab.replay.beside import with_beside
from twofa_lab.traffic.attack_models import ATTACK_MODELS, as_last_rows, draw_attempts
from twofa_lab.traffic.readers.log_world import read_logs
from twofa_lab.traffic.simulate import simulate

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ("user_agent", "browser", "os", "device_type")


@pytest.fixture(scope="module")
def table():
    world = with_beside(simulate("us-consumer", users=3_000, days=60, seed=5, progress=False))
    parts = [shard.logins for shard in world.shards()]
    return {n: np.concatenate([p[n] for p in parts]) for n in parts[0] if not n.startswith("po_")}


@pytest.fixture(scope="module")
def people(table):
    return np.flatnonzero(table["password_ok"] & ~table["signup"] & (table["attack"] == 0))


@pytest.fixture(scope="module")
def late(table, people):
    return people[table["time"][people] >= np.quantile(table["time"][people], 0.5)]


@pytest.fixture(scope="module")
def drawn(table, people, late):
    return {
        model: draw_attempts(table, model, people, late, 3_000, np.random.default_rng(at))
        for at, model in enumerate(ATTACK_MODELS)
    }


@pytest.fixture
def real_data():
    """The folder of real logs; the test is skipped where it is not there."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real logs are not beside this checkout (../shared/data)")
    return folder


@pytest.mark.parametrize("model", ATTACK_MODELS)
class TestEveryModel:
    def test_it_tries_the_victim_after_what_it_knew(self, table, drawn, late, model):
        found = drawn[model]
        fewest = 0.6 if model == "targeted" else 0.98  # not every city has another account
        assert fewest * 3_000 < len(found) <= found.asked == 3_000
        assert (found.columns["user_id"] == table["user_id"][found.victim]).all()
        assert (found.columns["time"] > table["time"][found.victim]).all()
        assert found.columns["time"].min() >= table["time"][late].min()
        assert found.columns["time"].max() <= table["time"][late].max()
        assert found.columns["password_ok"].all()

    def test_its_columns_are_those_of_the_table(self, table, drawn, model):
        found = drawn[model].columns
        assert {n: c.dtype for n, c in found.items()} == {n: c.dtype for n, c in table.items()}

    def test_its_device_is_not_the_victims(self, table, people, drawn, model):
        pairs = set(zip(table["user_id"][people].tolist(), table["device_id"][people].tolist(),
                        strict=True))  # fmt: skip
        found = drawn[model].columns
        tried = zip(found["user_id"].tolist(), found["device_id"].tolist(), strict=True)
        assert not [pair for pair in tried if pair in pairs]

    def test_accounts_are_tried_evenly_whatever_their_activity(self, table, people, drawn, model):
        logins = np.bincount(table["user_id"][people], minlength=3_000)
        tried = np.bincount(drawn[model].columns["user_id"], minlength=3_000)
        busy = logins > np.median(logins)
        assert 0.8 < tried[busy].sum() / tried[~busy & (logins > 0)].sum() < 1.35

    def test_the_same_seed_gives_the_same_attempts(self, table, people, late, model):
        both = [
            draw_attempts(table, model, people, late, 100, np.random.default_rng(3)).columns
            for _ in range(2)
        ]
        assert all((both[0][name] == both[1][name]).all() for name in both[0])


class TestWhatEachModelKnows:
    def test_naive_comes_from_anywhere(self, table, drawn):
        found = drawn["naive"]
        same = found.columns["country"] == table["country"][found.victim]
        assert same.mean() < 0.98

    def test_vpn_is_in_the_victims_country(self, table, drawn):
        found = drawn["vpn"]
        assert (found.columns["country"] == table["country"][found.victim]).all()
        assert (found.columns["city"] == table["city"][found.victim]).mean() < 0.5

    def test_targeted_is_in_the_city_with_the_client_and_another_address(self, table, drawn):
        found = drawn["targeted"]
        for name in ("country", "region", "city", *CLIENT):
            assert (found.columns[name] == table[name][found.victim]).all()
        assert (found.columns["ip"] != table["ip"][found.victim]).all()
        assert (found.columns["asn"] == table["asn"][found.victim]).mean() > 0.2

    def test_very_targeted_is_a_neighbour_with_the_client_at_the_victims_hour(self, table, drawn):
        found = drawn["very_targeted"]
        for name in ("country", "city", "asn", *CLIENT):
            assert (found.columns[name] == table[name][found.victim]).all()
        assert (found.columns["ip"] >> np.uint64(8) == table["ip"][found.victim] >> 8).all()
        offset = table["utc_offset_min"][found.victim].astype(np.int64) * 60_000
        hours = [(t + offset) % 86_400_000 for t in (found.columns["time"],
                                                     table["time"][found.victim])]  # fmt: skip
        assert (hours[0] == hours[1]).all()

    @pytest.mark.parametrize("model", ["naive", "vpn"])
    def test_a_strangers_address_and_client_come_together(self, table, people, drawn, model):
        names = ("ip", "asn", "user_agent", "device_id", "rtt_ms", "ip_accounts", "time")
        lent = set(zip(*(table[n][people].tolist() for n in names), strict=True))
        assert set(zip(*(drawn[model].columns[n].tolist() for n in names), strict=True)) <= lent


class TestNoArtefacts:
    """A strong classifier, trained on half of the accounts, and asked about the other half, whose
    attackers borrow from nobody of the first.
    """

    def area(self, table, people, late, model, features):
        halves = []
        for half in range(2):
            own, lent = (rows[table["user_id"][rows] % 2 == half] for rows in (people, late))
            tried = draw_attempts(table, model, own, lent, 2_500, np.random.default_rng(half))
            rows = {n: np.append(table[n][lent], tried.columns[n]) for n in table}
            halves.append((features(rows), np.arange(len(rows["time"])) >= len(lent)))
        trees = HistGradientBoostingClassifier(random_state=0, max_iter=40).fit(*halves[0])
        return roc_auc_score(halves[1][1], trees.predict_proba(halves[1][0])[:, 1])

    @pytest.mark.parametrize("model", ATTACK_MODELS)
    def test_what_should_carry_no_information_carries_none(self, table, people, late, model):
        def features(rows):
            ip, device = rows["ip"], rows["device_id"]
            return np.stack([
                rows["time"] % 1_000, rows["time"] % 60_000, ip & np.uint64(0xFF),
                ip & np.uint64(1), device & np.uint64(0xFFFF), device == 0, rows["rtt_ms"] % 10,
            ], axis=1).astype(float)  # fmt: skip

        assert abs(self.area(table, people, late, model, features) - 0.5) < 0.04

    def test_a_naive_attempt_looks_like_any_login_until_its_account_is_looked_at(
        self, table, people, late
    ):
        def features(rows):
            names = ("ip", "ip_listed", "asn", "country", "region", "city", *CLIENT, "rtt_ms",
                     "ip_accounts", "ip_failures")  # fmt: skip
            return np.stack([rows[n].astype(float) for n in names], axis=1)

        assert abs(self.area(table, people, late, "naive", features) - 0.5) < 0.04

    def test_the_test_would_see_a_fingerprint(self, table, people, late):
        def features(rows):
            marked = rows["ip_accounts"] + (rows["login_id"] > table["login_id"].max())
            return marked[:, None].astype(float)

        assert self.area(table, people, late, "naive", features) > 0.9

    @pytest.mark.parametrize("model", ATTACK_MODELS)
    def test_a_borrowed_address_is_no_busier_than_others(self, table, late, drawn, model):
        usual = (table["ip_accounts"][late] > 1).mean()
        assert abs((drawn[model].columns["ip_accounts"] > 1).mean() - usual) < 0.02


class TestAsLastRows:
    def test_each_attempt_stands_behind_its_victims_past(self, table, people, drawn):
        counts = np.zeros(len(table["time"]), bool)
        counts[people] = True
        found, place = as_last_rows(table, drawn["vpn"].columns, counts)
        assert (np.diff(found["user_id"]) >= 0).all()
        for at in range(0, len(place), 97):
            rows = np.flatnonzero(found["user_id"] == at)
            user = drawn["vpn"].columns["user_id"][at]
            time = drawn["vpn"].columns["time"][at]
            past = people[(table["user_id"][people] == user) & (table["time"][people] < time)]
            assert rows[-1] == place[at]
            for name in ("time", "ip", "device_id"):
                assert found[name][rows[:-1]].tolist() == table[name][past].tolist()
                assert found[name][rows[-1]] == drawn["vpn"].columns[name][at]

    def test_no_attempts_give_an_empty_table(self, table):
        nothing = {name: column[:0] for name, column in table.items()}
        found, place = as_last_rows(table, nothing, np.ones(len(table["time"]), bool))
        assert len(found["time"]) == len(place) == 0


class TestLogs:
    def test_device_ids_made_of_user_agents_go_with_the_client(self, table, people, late):
        log = table | {"device_id": table["user_agent"].astype(np.uint64)}
        found = draw_attempts(log, "targeted", people, late, 50, np.random.default_rng(0))
        assert (found.columns["device_id"] == log["device_id"][found.victim]).all()

    def test_the_real_sample_lends_its_rows(self, real_data):
        world = read_logs(real_data / "rba-sample" / "rba-sample-2000.csv", progress=False)
        log = next(with_beside(world).shards()).logins
        rows = np.flatnonzero(log["password_ok"])
        for model in ATTACK_MODELS[:3]:
            found = draw_attempts(log, model, rows, rows, 200, np.random.default_rng(0))
            assert 50 < len(found) <= 200
            assert (found.columns["user_id"] == log["user_id"][found.victim]).all()

    def test_where_no_stranger_is_near_there_is_no_attempt(self, table, people, late):
        alone = table | {"country": (table["user_id"] % 30_000).astype(np.int16)}
        found = draw_attempts(alone, "vpn", people, late, 50, np.random.default_rng(0))
        assert len(found) == 0
        assert found.asked == 50


class TestRefusals:
    def test_another_model(self, table, people):
        with pytest.raises(InputError, match="unknown attacker model 'clever': use one of naive"):
            draw_attempts(table, "clever", people, people, 1, np.random.default_rng(0))

    def test_no_rows(self, table, people):
        with pytest.raises(InputError, match="made from logins with the right password"):
            draw_attempts(table, "naive", people[:0], people, 1, np.random.default_rng(0))

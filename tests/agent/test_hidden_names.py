"""Names of users in labels: hidden in what leaves the machine, unless the customer allowed them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import hidden_names
from agent.hidden_names import HiddenNames, UserPlaces
from agent.probes.base import Sample

USER = st.text(st.characters(exclude_characters="/\\", exclude_categories=["C"]), min_size=1, max_size=12)


def place(mountpoint: str, device: str = "/dev/sda1", value: float = 1.0) -> Sample:
    labels = {"system_device": device, "system_filesystem_mountpoint": mountpoint}
    return Sample("system_filesystem_limit_bytes", value, labels)


def mountpoints(samples: list[Sample]) -> list[str]:
    return [sample.labels["system_filesystem_mountpoint"] for sample in samples]


@pytest.mark.parametrize(
    ("told", "hidden"),
    [
        ("/home/jan", "/home/*"),
        ("/home/jan/Foto's/2026", "/home/*/Foto's/2026"),
        ("/var/home/jan", "/var/home/*"),
        ("/Users/jan", "/Users/*"),
        ("/System/Volumes/Data/Users/jan", "/System/Volumes/Data/Users/*"),
        ("C:\\Users\\jan", "C:\\Users\\*"),
        ("/media/jan/STICK", "/media/*/STICK"),
        ("/run/media/jan/STICK", "/run/media/*/STICK"),
        ("nas:/export/home/jan", "nas:/export/home/*"),
        ("//nas/home/jan", "//nas/home/*"),
        ("rpool/home/jan", "rpool/home/*"),
        ("/home/.ecryptfs/jan/.Private", "/home/.ecryptfs/*/.Private"),
        ("/home/ACME/jan/mail", "/home/*/*/mail"),
        ("/home/acme.example/jan", "/home/*/*"),
        ("C:\\Users\\jan\\OneDrive", "C:\\Users\\*\\OneDrive"),
        ("/media/jan.jansen/STICK", "/media/*/STICK"),
    ],
)
def test_where_names_of_users_stand(told: str, hidden: str) -> None:
    places = UserPlaces()
    assert places.tells(told)
    assert places.without(told) == hidden


@pytest.mark.parametrize(
    "told",
    ["/", "/home", "/homes/x", "/srv", "/media/usb0", "/media", "/dev/mapper/vg-home", "C:\\", "home/assistant",
     "/root", "/var/lib/postgresql", "/srv/jan"],
)  # fmt: skip
def test_what_is_no_users(told: str) -> None:
    assert not UserPlaces().tells(told)
    assert UserPlaces().without(told) == told


PASSWD = """\
root:x:0:0:root:/root:/bin/bash
postgres:x:105:113:PostgreSQL:/var/lib/postgresql:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
jan.jansen:x:1000:1000:Jan Jansen,,,:/home/jan.jansen:/bin/bash
piet:x:1001:1001::/srv/people/Piet:/bin/bash
pie:x:1002:1002::/srv/people/pie:/bin/bash
deploy:x:1003:1003::/var/www:/bin/bash
data:x:1004:1004::/data:/bin/sh
anna:x:200001:200001:of a directory:/export/anna/home/:/bin/bash
broken:x:many:1:::/bin/sh
"""


@pytest.mark.parametrize(
    ("told", "hidden"),
    [
        ("/srv/people/Piet", "/srv/people/*"),
        ("/srv/people/Piet/mail", "/srv/people/*/mail"),
        ("/srv/people/pie", "/srv/people/*"),
        ("nas:/srv/people/Piet", "nas:/srv/people/*"),
        ("/export/anna/home", "/export/*/home"),
        ("/data", "/*"),
        ("/home/jan.jansen/mail", "/home/*/mail"),
        ("/srv/people/Pieter", None),
        ("/var/www", None),
        ("/var/lib/postgresql", None),
        ("/nonexistent", None),
        ("/root", None),
        ("/srv/people", None),
    ],
)
def test_homes_elsewhere_are_known_from_passwd(told: str, hidden: str | None) -> None:
    places = UserPlaces(PASSWD)
    assert places.tells(told) is (hidden is not None)
    assert places.without(told) == (hidden or told)
    assert places.without(told, "*2") == (hidden or told).replace("*", "*2")


def test_a_user_who_comes_is_hidden_from_then_on(tmp_path: Path) -> None:
    passwd = tmp_path / "passwd"
    names = HiddenNames(passwd)
    assert mountpoints(names.hide([place("/srv/jan")])) == ["/srv/jan"]
    passwd.write_text("jan:x:1000:1000::/srv/jan:/bin/bash\n")
    assert mountpoints(names.hide([place("/srv/jan"), place("/home/jan")])) == ["/srv/*", "/home/*"]


@given(st.text(max_size=200))
def test_any_passwd_is_borne(text: str) -> None:
    UserPlaces(text).without("/home/jan")


def test_two_users_have_series_of_their_own_and_keep_them() -> None:
    names = HiddenNames()
    first = names.hide([place("/home/piet", "rpool/home/piet"), place("/"), place("/home/jan", "rpool/home/jan")])
    assert mountpoints(first) == ["/home/*2", "/", "/home/*"]
    assert [one.labels["system_device"] for one in first] == ["rpool/home/*2", "/dev/sda1", "rpool/home/*"]
    # Jan logs out, Anna comes: Piet stays who he was.
    assert mountpoints(names.hide([place("/home/anna"), place("/home/piet")])) == ["/home/*3", "/home/*2"]
    # After a restart with the same users it is as it was.
    again = HiddenNames().hide([place("/home/jan"), place("/home/piet")])
    assert mountpoints(again) == ["/home/*", "/home/*2"]
    assert mountpoints([place("/home/jan")]) == ["/home/jan"]  # what was given is as it was


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden_names, "MAX_KNOWN", 10)
    names = HiddenNames()
    for number in range(100):
        (sample,) = names.hide([place(f"/home/{number}")])
        assert len(names._hidden) <= 10
    assert mountpoints([sample])[0].startswith("/home/*")


@given(
    st.lists(USER, min_size=1, max_size=6, unique=True), st.sampled_from(["/home/{}", "/media/{}/x", "C:\\Users\\{}"])
)
def test_no_name_is_told_and_no_series_becomes_anothers(users: list[str], pattern: str) -> None:
    hidden = HiddenNames().hide([place(pattern.format(user)) for user in users])
    assert len(set(mountpoints(hidden))) == len(users)
    for place_told in mountpoints(hidden):
        before, _, after = pattern.partition("{}")
        number = place_told.removeprefix(before).removesuffix(after)
        assert number == "*" or (number[0] == "*" and number[1:].isdecimal())

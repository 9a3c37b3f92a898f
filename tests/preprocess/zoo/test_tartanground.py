"""TartanGround and TartanAir-V2 beyond the suite: which environments and which cameras."""

import re

import numpy as np
import pytest
from miniatures.zoo.tartanground import GROUND, V2, write
from readers import reader_of

from zipmap_pl.errors import UserError

# TartanAir-V2's environments that the published training selects.
NAMES = """
AbandonedCable AbandonedFactory AbandonedFactory2 AbandonedSchool AmericanDiner AmusementPark AncientTowns Apocalyptic
CarWelding CastleFortress CoalMine ConstructionSite CountryHouse CyberPunkDowntown Cyberpunk DesertGasStation Downtown
EndofTheWorld FactoryWeather ForestEnv Gascola GothicIsland GreatMarsh Hospital House JapaneseAlley JapaneseCity
MiddleEast ModernCityDowntown ModularNeighborhood ModularNeighborhoodIntExt NordicHarbor OldBrickHouseDay
OldBrickHouseNight OldIndustrialCity OldTownFall OldTownSummer OldTownWinter Restaurant RetroOffice Rome Ruins
SeasideTown SeasonalForestAutumn SeasonalForestSpring SeasonalForestWinter Slaughter Supermarket UrbanConstruction
VictorianStreet WaterMillDay
"""
SELECTED = NAMES.split()


def environments(raw, *options):
    return {scene.name.split("/")[0] for scene in reader_of("tartanground", raw, *options).scenes()}


def test_of_all_environments_those_of_the_published_training_are_read(tmp_path):
    left_out = reader_of("tartanground", tmp_path).exclude
    assert (len(SELECTED), len(left_out)) == (51, 23)
    for name in (*SELECTED, *left_out):
        (tmp_path / name / "Data_easy/P000/image_lcam_front").mkdir(parents=True)
    assert environments(tmp_path) == set(SELECTED)
    assert environments(tmp_path, "--exclude", "Ocean") == {*SELECTED, *left_out} - {"Ocean"}


def test_an_environment_left_out_is_known_by_the_name_of_older_downloads(tmp_path):
    for name in ("HouseExposure", "OceanExposure"):
        (tmp_path / name / "Data_hard/P001/image_lcam_front").mkdir(parents=True)
    assert environments(tmp_path) == {"HouseExposure"}


def test_the_front_left_camera_is_read_unless_others_are_named(tmp_path):
    write(tmp_path)
    cameras = [scene.name.rsplit("/", 1)[1] for scene in reader_of("tartanground", tmp_path).scenes()]
    assert set(cameras) == {"lcam_front"}
    (scene,) = reader_of("tartanground", tmp_path, "--cameras", "lcam_right").scenes()
    assert scene.name == f"{GROUND}/lcam_right"
    with pytest.raises(
        UserError, match=re.escape("--cameras lcam_fish: expected one or more of lcam_front, lcam_right")
    ):
        reader_of("tartanground", tmp_path, "--cameras", "lcam_fish,lcam_front")


def test_each_camera_has_its_own_poses(tmp_path):
    write(tmp_path)
    reader = reader_of("tartanground", tmp_path, "--cameras", "lcam_front,lcam_right")
    front, right = (
        reader.camera(scene, "000002").cam_to_world for scene in reader.scenes() if scene.name.startswith(GROUND)
    )
    np.testing.assert_allclose(right[:3, 3], front[:3, 3], atol=1e-12)  # the six cameras of an eye share their center
    np.testing.assert_allclose(right[:3, 2], front[:3, 0], atol=1e-9)  # and this one looks to the right
    assert all(not scene.name.startswith(V2) or scene.name.endswith("front") for scene in reader.scenes())

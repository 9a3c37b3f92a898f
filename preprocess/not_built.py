"""Datasets of the published recipes that have settings but no reader yet, and what is known of them.

A dataset with a reader has this in `INFO` of its module, and is not listed here.
"""

from zipmap_pl.preprocess.raw import DatasetInfo


def _info(
    slug: str, title: str, kind: str, metric: bool, licence: str, commercial: bool | None, url: str, raw_size: str
) -> DatasetInfo:
    what, source = kind.split(", ")
    return DatasetInfo(slug, title, licence, what, source, 1.0 if metric else None, 1, url, commercial, raw_size)


NOT_BUILT = {
    info.slug.replace("-", "_"): info
    for info in (
        _info(
            "aria-ase",
            "Aria Synthetic Environments",
            "static, synthetic",
            True,
            "Aria Synthetic Environments Dataset License Agreement: research only; accepted on the site with an e-mail address",
            False,
            "https://www.projectaria.com/datasets/ase",
            "about 1.2 TB for the 5,000 scenes of the recipe; 23 TB in all",
        ),
        _info(
            "mapfree",
            "Map-free Visual Relocalization",
            "static, real",
            True,
            "Niantic's own: non-commercial only; accepted on the project page",
            False,
            "https://research.nianticlabs.com/mapfree-reloc-benchmark",
            "not known",
        ),
        _info(
            "megadepth",
            "MegaDepth (v1)",
            "static, real",
            False,
            "not stated; photos of many people from the Internet; no registration",
            None,
            "https://www.cs.cornell.edu/projects/megadepth",
            "about 199 GB, and 667 GB of SfM models",
        ),
        _info(
            "omniworld",
            "OmniWorld-Game",
            "dynamic, synthetic",
            False,
            "CC BY-NC-SA 4.0, with a clause on the content of games",
            False,
            "https://huggingface.co/datasets/InternRobotics/OmniWorld",
            "more than 1 TB, several GB for a scene",
        ),
        _info(
            "scannetpp",
            "ScanNet++",
            "static, real",
            True,
            "ScanNet++ Terms of Use: non-commercial research; registration and approval",
            False,
            "https://kaldir.vc.in.tum.de/scannetpp",
            "not known",
        ),
        _info(
            "scenenet-rgbd",
            "SceneNet RGB-D",
            "static, synthetic",
            True,
            "not verified: terms on the project page, for research; no registration",
            None,
            "https://robotvault.bitbucket.io/scenenet-rgbd.html",
            "about 263 GB for training, 15 GB for validation",
        ),
        _info(
            "waymo",
            "Waymo Open Dataset, Perception",
            "static, real",
            True,
            "Waymo Open Dataset licence: non-commercial; registration needed",
            False,
            "https://waymo.com/open",
            "about 0.8 TB for training",
        ),
    )
}

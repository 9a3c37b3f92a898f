"""File formats of a scene, one module each, found by name: `write(folder, scene, cloud)` and nothing to register.

    write(folder: Path, scene: Scene, cloud: PointCloud) -> dict[str, Path]

writes below `folder`, which exists, and returns what it wrote by the name under which the command reports it. `cloud` has
the points that the user asked for. A module whose name begins with "_" is not a format.
"""

USUAL = (
    "cameras",
    "glb",
    "ply",
    "colmap",
    "npz",
    "depth",
    "preview",
    "maps",
)  # what is written for a user who names none

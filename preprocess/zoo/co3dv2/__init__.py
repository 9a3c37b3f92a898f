"""CO3Dv2 (Common Objects in 3D): videos that walk around an object; cameras and depth by COLMAP, not metric.

    RAW/<category>/
      frame_annotations.jgz             a list of all frames of the category: image, depth and masks by path, camera
      sequence_annotations.jgz          a list of its sequences, with the quality of their cameras
      set_lists/set_lists_fewview_train.json     which frames are for training; fewview_dev where it is missing
      <sequence>/images/frame000001.jpg          sizes differ between sequences
      <sequence>/depths/frame000001.jpg.geometric.png    the bits of half floats, planar
      <sequence>/depth_masks/frame000001.png     where several views agree on the depth: not the object
      <sequence>/masks/frame000001.png           how likely it is the object, 255 = certain

Unpacked or in the zips as downloaded, which are read in place; the parts of a category are merged. A scene is
<category>/<sequence>, all for training: frames of the training lists whose sequence has cameras of a quality above 0.5. Frames
are found by the paths of the list, never by their place or the number in their name.

Depth outside of its mask is noise and left out. Frames without camera or without any depth are passed over; sequences whose
reconstruction failed (a camera further away than 100,000) are left out. By default the 41 categories that everybody trains on;
the other ten are kept for judging.
"""

from zipmap_pl.preprocess.zoo.co3dv2.reader import INFO, READER

__all__ = ["INFO", "READER"]

"""Where the images of a reconstruction come from: photos, videos."""

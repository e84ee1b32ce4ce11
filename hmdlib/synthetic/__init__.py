"""Synthetic people: a parametric talking head, drawn by a software rasteriser of our own.

raster draws meshes and strands; head is the face of an identity and its expressions; hair,
wardrobe and motion dress and move it; people assembles persons, sessions, videos and truth.
"""

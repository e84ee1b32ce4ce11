"""The systems that the study compares with or builds on, written anew, one a module.

Each is able to load its published weights, and is checked against the numbers of its published
code. Conventions are the package's: pictures RGB in [0, 1], (N, 3, H, W); masks (N, 1, H, W), 1 =
hidden; landmarks (N, 68, 2) in pixels.
"""

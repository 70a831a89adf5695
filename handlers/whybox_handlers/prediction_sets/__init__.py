"""Prediction sets: the classes that may be right, by split conformal prediction.

A method gives each class of a picture a score, the smaller the more plausible the class. The threshold of a level
1 - alpha is a quantile of the scores that right classes have on calibration pictures, and the set has all classes up to
it. If a picture is exchangeable with the calibration pictures, its right class is in the set with a probability of at
least 1 - alpha (Vovk, Gammerman and Shafer, 2005), whatever the network.
"""

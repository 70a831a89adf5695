"""Robust accuracy of a data set: how many answers stay right when pictures may change by up to a radius.

`dataset` finds pictures and labels, `workers` measure them, `journal` keeps what is measured, `statistics` and
`summary` draw the conclusions, `figure` draws the curve; `audit` is the whole walk.
"""

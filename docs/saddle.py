"""Draws docs/saddle.gif, the race at the top of the README: python docs/saddle.py (needs the extra `play`).

All start a hair beside the ridge of a saddle and take steps of one learning rate, so that their ways can be followed:
a picture, no comparison. Gradient descent runs to the saddle itself and lingers; who divides by the size of its
gradients leaves at once.
"""

from pathlib import Path

from thalweg.play import animate, race

if __name__ == "__main__":
    names = ["sgd", "momentum", "adagrad", "rmsprop", "adam", "radam"]
    found = race("saddle", [f"{name}(lr=0.06)" for name in names], steps=180, start="beside")
    print(animate(found, Path(__file__).with_name("saddle.gif"), seconds=8, every=2, dpi=96))

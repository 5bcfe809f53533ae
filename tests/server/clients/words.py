"""A stand-in for an embedding model: texts that share words are near."""

import math
import zlib

DIM = 128


def embed(text):
    vector = [0.0] * DIM
    for word in text.lower().split():
        vector[zlib.crc32(word.strip(".,").encode()) % DIM] += 1.0
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [x / length for x in vector]

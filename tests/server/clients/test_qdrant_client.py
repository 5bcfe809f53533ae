#!/usr/bin/env python3
"""The dialect asked by Qdrant's own Python client, whose models parse every answer.

    test_qdrant_client.py <qdrant_pipe program>    through a pipe, without a socket
    test_qdrant_client.py http://127.0.0.1:6333    a running server, whose collections named t_* are dropped

Needs requirements.txt of this folder; exit status 77 (skipped) without it.
"""

import hashlib
import subprocess
import sys
import tempfile
import unittest
import uuid

try:
    import httpx
    import numpy
    from qdrant_client import QdrantClient, models
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import UnexpectedResponse
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TARGET = sys.argv.pop(1) if len(sys.argv) > 1 else ""


class Pipe(httpx.BaseTransport):
    """Requests written to the program, answers read from it."""

    def __init__(self, program, path):
        self.process = subprocess.Popen([program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def handle_request(self, request):
        body = request.read()
        path = request.url.raw_path.decode()
        self.process.stdin.write(f"{request.method} {path} {len(body)}\n".encode() + body)
        self.process.stdin.flush()
        status, length = self.process.stdout.readline().split()
        content = self.process.stdout.read(int(length))
        return httpx.Response(int(status), headers={"content-type": "application/json"}, content=content)

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait() == 0
        self.process.stdout.close()


def connect(folder):
    if TARGET.startswith("http"):
        return QdrantClient(url=TARGET), None
    pipe = Pipe(TARGET, f"{folder}/memory.cairn")
    return QdrantClient(url="http://pipe:80", transport=pipe, check_compatibility=False), pipe


class Client(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.client, self.pipe = connect(self.folder.name)
        for name in [c.name for c in self.client.get_collections().collections if c.name.startswith("t_")]:
            self.client.delete_collection(name)

    def tearDown(self):
        if self.pipe:
            self.pipe.stop()
        self.folder.cleanup()

    def reopen(self):
        if self.pipe:
            self.pipe.stop()
            self.client, self.pipe = connect(self.folder.name)

    def fill(self, count=200, dim=8):
        self.client.create_collection("t_a", vectors_config=models.VectorParams(size=dim, distance=models.Distance.COSINE))
        random = numpy.random.default_rng(7)
        self.vectors = random.normal(size=(count, dim)).astype("float32")
        points = [models.PointStruct(id=i, vector=v.tolist(), payload={"n": i, "group": f"g{i % 5}", "half": i / 2}) for i, v in enumerate(self.vectors)]
        self.assertEqual(self.client.upsert("t_a", points, wait=True).status, models.UpdateStatus.COMPLETED)

    def test_collection_and_its_settings(self):
        self.client.create_collection(
            "t_a",
            vectors_config={"image": models.VectorParams(size=4, distance=models.Distance.DOT, on_disk=True),
                            "multi": models.VectorParams(size=4, distance=models.Distance.DOT,
                                                         multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM))},
            sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
            hnsw_config=models.HnswConfigDiff(m=24),
            quantization_config=models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)),
        )
        self.assertTrue(self.client.collection_exists("t_a"))
        self.reopen()
        info = self.client.get_collection("t_a")
        self.assertEqual(info.config.params.vectors["image"].size, 4)
        self.assertTrue(info.config.params.vectors["image"].on_disk)
        self.assertEqual(info.config.params.sparse_vectors["words"].modifier, models.Modifier.IDF)
        self.assertEqual(info.config.hnsw_config.m, 24)
        self.assertEqual(info.config.quantization_config.scalar.type, models.ScalarType.INT8)
        self.client.update_collection("t_a", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=7))
        self.assertEqual(self.client.get_collection("t_a").config.optimizer_config.indexing_threshold, 7)
        with self.assertRaises(UnexpectedResponse) as failed:
            self.client.create_collection("t_a", vectors_config={})
        self.assertEqual(failed.exception.status_code, 409)
        self.assertTrue(self.client.delete_collection("t_a"))
        self.assertFalse(self.client.collection_exists("t_a"))

    def test_points(self):
        self.fill()
        key = str(uuid.uuid4())
        self.client.upsert("t_a", models.Batch(ids=[key], vectors=[[1.0] * 8], payloads=[{"n": 2**63 + 1}]))
        self.reopen()
        self.assertEqual(self.client.retrieve("t_a", [key], with_vectors=True)[0].payload["n"], 2**63 + 1)
        self.assertEqual(self.client.count("t_a").count, 201)
        seen, offset = [], None
        while True:
            page, offset = self.client.scroll("t_a", limit=33, offset=offset)
            seen += [point.id for point in page]
            if offset is None:
                break
        self.assertEqual(seen, list(range(200)) + [key])
        self.client.set_payload("t_a", {"new": 1}, points=[3])
        self.client.delete_payload("t_a", ["half"], points=[3])
        self.assertEqual(self.client.retrieve("t_a", [3])[0].payload, {"n": 3, "group": "g3", "new": 1})
        self.client.overwrite_payload("t_a", {"only": None}, points=[3])
        self.assertEqual(self.client.retrieve("t_a", [3])[0].payload, {"only": None})
        self.client.clear_payload("t_a", points_selector=[3])
        self.assertEqual(self.client.retrieve("t_a", [3])[0].payload, {})
        self.client.update_vectors("t_a", [models.PointVectors(id=3, vector=[0.0] * 7 + [2.0])])
        self.assertEqual(self.client.retrieve("t_a", [3], with_vectors=True)[0].vector, [0.0] * 7 + [1.0])
        self.client.batch_update_points("t_a", [models.SetPayloadOperation(set_payload=models.SetPayload(payload={"x": 1}, points=[4])),
                                                models.DeleteOperation(delete=models.PointIdsList(points=[5]))])
        self.assertEqual(self.client.retrieve("t_a", [5]), [])
        self.client.delete("t_a", models.Filter(must=[models.FieldCondition(key="group", match=models.MatchValue(value="g1"))]))
        self.assertEqual(self.client.count("t_a").count, 200 - 40)

    def test_nearest_are_the_nearest(self):
        self.fill()
        unit = self.vectors / numpy.linalg.norm(self.vectors, axis=1, keepdims=True)
        query = unit[17] + 0.5 * unit[18]
        found = self.client.query_points("t_a", query=query.tolist(), limit=10, with_payload=True,
                                         query_filter=models.Filter(must=[models.FieldCondition(key="n", range=models.Range(gte=10, lt=150))]))
        scores = unit[10:150] @ (query / numpy.linalg.norm(query))
        expected = numpy.argsort(-scores)[:10] + 10
        self.assertEqual([hit.id for hit in found.points], expected.tolist())
        numpy.testing.assert_allclose([hit.score for hit in found.points], scores[expected - 10], rtol=1e-5)

    def test_every_query_is_parsed(self):
        self.fill()
        for field, schema in [("n", "integer"), ("group", "keyword")]:
            self.client.create_payload_index("t_a", field, field_schema=schema)
        self.assertEqual(self.client.get_collection("t_a").payload_schema["n"].points, 200)
        some = self.vectors[0].tolist()
        queries = [
            None, some, 3, models.NearestQuery(nearest=some, mmr=models.Mmr(diversity=0.5, candidates_limit=20)),
            models.RecommendQuery(recommend=models.RecommendInput(positive=[1, some], negative=[2])),
            models.RecommendQuery(recommend=models.RecommendInput(positive=[1], strategy=models.RecommendStrategy.BEST_SCORE)),
            models.DiscoverQuery(discover=models.DiscoverInput(target=1, context=[models.ContextPair(positive=2, negative=3)])),
            models.ContextQuery(context=[models.ContextPair(positive=2, negative=3)]),
            models.OrderByQuery(order_by="n"), models.SampleQuery(sample=models.Sample.RANDOM),
        ]
        for query in queries:
            self.assertEqual(len(self.client.query_points("t_a", query=query, limit=5, with_payload=True, with_vectors=True).points), 5, query)
        fused = self.client.query_points("t_a", prefetch=[models.Prefetch(query=some), models.Prefetch(query=3)],
                                         query=models.FusionQuery(fusion=models.Fusion.RRF), limit=3)
        self.assertEqual(len(fused.points), 3)
        batch = self.client.query_batch_points("t_a", [models.QueryRequest(query=some, limit=2), models.QueryRequest(query=1, limit=3)])
        self.assertEqual([len(answer.points) for answer in batch], [2, 3])
        groups = self.client.query_points_groups("t_a", group_by="group", query=some, limit=3, group_size=2).groups
        self.assertEqual([len(group.hits) for group in groups], [2, 2, 2])
        self.assertEqual({hit.count for hit in self.client.facet("t_a", "group").hits}, {40})
        ordered, _ = self.client.scroll("t_a", order_by=models.OrderBy(key="n", direction=models.Direction.DESC), limit=2)
        self.assertEqual([point.id for point in ordered], [199, 198])

    def test_vectors_come_and_go(self):
        self.fill(10)
        dense = models.DenseVectorNameConfig(dense=models.DenseVectorConfig(size=2, distance=models.Distance.DOT))
        words = models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier=models.Modifier.IDF))
        self.assertEqual(self.client.create_vector_name("t_a", "late", dense).status, models.UpdateStatus.COMPLETED)
        self.client.create_vector_name("t_a", "words", words)
        self.reopen()
        params = self.client.get_collection("t_a").config.params
        self.assertEqual(params.vectors["late"].size, 2)
        self.assertEqual(params.vectors[""].size, 8)
        self.assertEqual(params.sparse_vectors["words"].modifier, models.Modifier.IDF)
        self.client.update_vectors("t_a", [models.PointVectors(id=3, vector={"late": [1.0, 0.0]})])
        self.assertEqual([hit.id for hit in self.client.query_points("t_a", query=[1.0, 1.0], using="late").points], [3])
        with self.assertRaises(UnexpectedResponse) as failed:
            self.client.create_vector_name("t_a", "late", dense)
        self.assertEqual(failed.exception.status_code, 409)
        for name in ("late", "words"):
            self.client.delete_vector_name("t_a", name)
        self.assertEqual(self.client.get_collection("t_a").config.params.vectors.size, 8)
        self.assertEqual(len(self.client.retrieve("t_a", [3], with_vectors=True)[0].vector), 8)

    def test_matrices(self):
        self.fill(20)
        pairs = self.client.search_matrix_pairs("t_a", sample=20, limit=2).pairs
        offsets = self.client.search_matrix_offsets("t_a", sample=20, limit=2)
        self.assertEqual((len(pairs), len(offsets.scores)), (40, 40))
        unit = self.vectors / numpy.linalg.norm(self.vectors, axis=1, keepdims=True)
        scores = unit @ unit.T
        numpy.testing.assert_allclose([pair.score for pair in pairs], [scores[pair.a, pair.b] for pair in pairs], rtol=1e-5)
        best = {pair.a: pair.b for pair in reversed(pairs)}
        numpy.fill_diagonal(scores, -2)
        self.assertEqual([best[i] for i in range(20)], scores.argmax(axis=1).tolist())
        found = {(offsets.ids[r], offsets.ids[c]) for r, c in zip(offsets.offsets_row, offsets.offsets_col)}
        self.assertEqual(found, {(pair.a, pair.b) for pair in pairs})

    def test_strict_mode(self):
        self.fill(10)
        limits = models.StrictModeConfig(enabled=True, max_query_limit=4, unindexed_filtering_retrieve=False, read_rate_limit=6)
        self.client.update_collection("t_a", strict_mode_config=limits)
        self.assertEqual(self.client.get_collection("t_a").config.strict_mode_config.max_query_limit, 4)
        with self.assertRaises(UnexpectedResponse) as failed:
            self.client.query_points("t_a", query=[1.0] * 8, limit=5)
        self.assertIn('Limit exceeded 5 > 4 for \\"limit\\"', failed.exception.content.decode())
        by_group = models.Filter(must=[models.FieldCondition(key="group", match=models.MatchValue(value="g1"))])
        with self.assertRaises(UnexpectedResponse) as failed:
            self.client.query_points("t_a", query=[1.0] * 8, limit=4, query_filter=by_group)
        self.assertIn("Index required but not found", failed.exception.content.decode())
        # The pipe brings no headers, and so no Retry-After.
        with self.assertRaises(UnexpectedResponse if self.pipe else ResourceExhaustedResponse) as failed:
            for _ in range(9):
                self.client.count("t_a")
        if not self.pipe:
            self.assertTrue(1 <= int(failed.exception.retry_after_s) <= 10)

    def test_snapshots(self):
        if self.pipe:
            self.skipTest("files come over HTTP alone")
        self.fill(50)
        made = self.client.create_snapshot("t_a")
        self.assertEqual([s.name for s in self.client.list_snapshots("t_a")], [made.name])
        url = f"{TARGET}/collections/t_a/snapshots/{made.name}"
        bytes_of_it = httpx.get(url).content
        self.assertEqual(len(bytes_of_it), made.size)
        self.client.delete("t_a", [1, 2, 3])
        self.assertTrue(self.client.recover_snapshot("t_a", url, checksum=hashlib.sha256(bytes_of_it).hexdigest()))
        self.assertEqual(self.client.count("t_a").count, 50)
        answer = httpx.post(f"{TARGET}/collections/t_b/snapshots/upload", files={"snapshot": ("s", bytes_of_it)})
        self.assertEqual(answer.json()["result"], True)
        self.assertEqual(self.client.count("t_b").count, 50)
        self.assertTrue(self.client.delete_snapshot("t_a", made.name))
        full = self.client.create_full_snapshot()
        self.assertIn(full.name, [s.name for s in self.client.list_full_snapshots()])
        self.assertEqual(len(httpx.get(f"{TARGET}/snapshots/{full.name}").content), full.size)
        self.assertTrue(self.client.delete_full_snapshot(full.name))

    def test_aliases(self):
        self.fill(10)
        self.client.update_collection_aliases([models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="t_a", alias_name="t_live"))])
        self.reopen()
        self.assertEqual(self.client.count("t_live").count, 10)
        self.assertEqual(self.client.get_aliases().aliases[0].alias_name, "t_live")
        self.assertEqual(self.client.get_collection_aliases("t_a").aliases[0].collection_name, "t_a")


if __name__ == "__main__":
    unittest.main(verbosity=2)

#!/usr/bin/env python3
"""LlamaIndex's vector store. client_llama_index.py URL write|read"""

import sys
import uuid

from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores import ExactMatchFilter, FilterOperator, MetadataFilter, MetadataFilters, VectorStoreQuery
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient

from words import embed

TEXTS = ["the cat sleeps on the mat", "a dog runs in the park", "cairns mark the path", "the park closes at night"]


def node(i, text, document="d"):
    return TextNode(id_=str(uuid.UUID(int=i + 1)), text=text, embedding=embed(text), metadata={"year": 2000 + i, "even": i % 2 == 0},
                    relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)})


def ask(store, text, k=2, filters=None):
    return store.query(VectorStoreQuery(query_embedding=embed(text), similarity_top_k=k, filters=filters))


def check(store):
    found = ask(store, "a cat on a mat")
    assert found.nodes[0].get_content() == TEXTS[0] and len(found.nodes) == 2, found
    found = ask(store, "the park", 4, MetadataFilters(filters=[MetadataFilter(key="year", value=2002, operator=FilterOperator.GTE)]))
    assert {n.get_content() for n in found.nodes} == set(TEXTS[2:]), found
    found = ask(store, "the park", 4, MetadataFilters(filters=[ExactMatchFilter(key="year", value=2001)]))
    assert [n.get_content() for n in found.nodes] == [TEXTS[1]], found
    read = store.get_nodes(node_ids=[str(uuid.UUID(int=3))])
    assert [n.get_content() for n in read] == [TEXTS[2]], read


def write(url):
    store = QdrantVectorStore(client=QdrantClient(url=url), collection_name="t_llama_index")
    store.add([node(i, text) for i, text in enumerate(TEXTS)])
    store.add([node(90, "to be deleted", "gone"), node(91, "to be deleted, too", "gone"), node(92, "and this")])
    store.delete("gone")
    store.delete_nodes([str(uuid.UUID(int=93))])
    assert store.client.count("t_llama_index").count == 4
    check(store)


def read(url):
    check(QdrantVectorStore(client=QdrantClient(url=url), collection_name="t_llama_index"))


{"write": write, "read": read}[sys.argv[2]](sys.argv[1])

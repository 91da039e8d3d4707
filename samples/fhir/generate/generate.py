#!/usr/bin/env python3
"""Makes samples/fhir/data/records.ndjson: three synthetic patients, one FHIR R4 resource a line.

The same bytes on every run with the versions of requirements.txt. `--check` compares
with the file that is checked in and changes nothing.

    python3 -m venv /tmp/generate
    /tmp/generate/bin/pip install -r samples/fhir/generate/requirements.txt
    /tmp/generate/bin/python samples/fhir/generate/generate.py --check

The clinical story is simulated by clinosim (PyPI, MIT). Ours: the choice of three people and
of their records, the names, the ids, the records of ADDED, and every `meta.security` label.
"""

import argparse
import base64
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SEED, POPULATION, START, END = 20, 150, "2023-07-01", "2025-06-30"
OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "records.ndjson"

# clinosim's patient, and the name we give.
PEOPLE = {
    "pt-1fdd756ca974": ("Amina", "Rahimi"),
    "pt-cb82aa70dee7": ("Brook", "Sandoval"),
    "pt-b78e60ad9c20": ("Casey", "Lindqvist"),
}
AMINA, BROOK, CASEY = PEOPLE

# Newest so many of each kind and person are kept; a kind that is not here is left out.
KEPT = {
    "Patient": 1,
    "Encounter": 7,
    "Condition": 10,
    "MedicationRequest": 10,
    "Immunization": 6,
    "Procedure": 3,
    "CareTeam": 2,
    "DiagnosticReport": 8,
    "DocumentReference": 6,
    "Observation laboratory": 42,
    "Observation vital-signs": 18,
    "Observation social-history": 3,
    "Observation survey": 3,
    "Observation LAB": 2,
}
SHARED = {"Practitioner", "Organization", "Location"}

PREFIX = {
    "Patient": "pat", "Encounter": "enc", "Condition": "cnd", "AllergyIntolerance": "alg",
    "MedicationRequest": "med", "Immunization": "imm", "Procedure": "prc", "CareTeam": "ctm",
    "DiagnosticReport": "rep", "DocumentReference": "doc", "Observation": "obs",
    "Practitioner": "prv", "Organization": "org", "Location": "loc",
}

LOINC = "http://loinc.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

# (system, first characters of the code) -> (confidentiality, sensitivities). All else is N.
LABELS = [
    (LOINC, "56888-1", "R", ["HIV"]),              # HIV 1+2 antibody and antigen
    (LOINC, "34788-0", "R", ["PSY"]),              # psychiatry consult note
    (ICD10, "F10", "R", ["ETH", "42CFRPart2"]),    # alcohol related disorders
    (ICD10, "F33", "R", ["PSY"]),                  # recurrent depression
    (RXNORM, "7243", "R", ["ETH", "42CFRPart2"]),  # naltrexone
    (ICD10, "T74.1", "V", ["SDV"]),                # physical abuse, confirmed
]


def concept(system, code, display):
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def terminology(name):
    return "http://terminology.hl7.org/CodeSystem/" + name


def hiv_screen(owner, when):
    return {
        "resourceType": "Observation", "id": "added-hiv-" + owner, "status": "final",
        "category": [concept(terminology("observation-category"), "laboratory", "Laboratory")],
        "code": concept(LOINC, "56888-1", "HIV 1+2 Ab+HIV1 p24 Ag [Presence] in Serum or Plasma by Immunoassay"),
        "subject": {"reference": "Patient/" + owner}, "effectiveDateTime": when, "issued": when,
        "valueCodeableConcept": concept("http://snomed.info/sct", "260385009", "Negative"),
    }


def condition(owner, code, display, when):
    return {
        "resourceType": "Condition", "id": f"added-{code}-{owner}",
        "clinicalStatus": concept(terminology("condition-clinical"), "active", "Active"),
        "verificationStatus": concept(terminology("condition-ver-status"), "confirmed", "Confirmed"),
        "category": [concept(terminology("condition-category"), "problem-list-item", "Problem List Item")],
        "code": concept(ICD10, code, display),
        "subject": {"reference": "Patient/" + owner}, "recordedDate": when,
    }


def allergy(owner, code, display, when):
    return {
        "resourceType": "AllergyIntolerance", "id": f"added-allergy-{code}-{owner}",
        "clinicalStatus": concept(terminology("allergyintolerance-clinical"), "active", "Active"),
        "verificationStatus": concept(terminology("allergyintolerance-verification"), "confirmed", "Confirmed"),
        "type": "allergy", "category": ["medication"], "criticality": "high",
        "code": concept("http://snomed.info/sct", code, display),
        "patient": {"reference": "Patient/" + owner}, "recordedDate": when,
    }


def psychiatry_note(owner, when):
    text = ("Psychiatry consultation. Low mood since spring, sleep is poor, no thoughts of self-harm. "
            "Agreed: weekly sessions, review in six weeks.\n")
    return {
        "resourceType": "DocumentReference", "id": "added-psychiatry-" + owner,
        "status": "current", "docStatus": "final",
        "type": concept(LOINC, "34788-0", "Psychiatry Consult note"),
        "category": [concept("http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category",
                             "clinical-note", "Clinical Note")],
        "subject": {"reference": "Patient/" + owner}, "date": when,
        "content": [{"attachment": {"contentType": "text/plain", "language": "en",
                                    "data": base64.b64encode(text.encode()).decode(),
                                    "title": "Psychiatry Consult note"}}],
    }


def naltrexone(owner, when):
    return {
        "resourceType": "MedicationRequest", "id": "added-naltrexone-" + owner,
        "status": "active", "intent": "order",
        "category": [concept(terminology("medicationrequest-category"), "community", "Community")],
        "medicationCodeableConcept": concept(RXNORM, "7243", "naltrexone"),
        "subject": {"reference": "Patient/" + owner}, "authoredOn": when,
        "dosageInstruction": [{"text": "50 mg by mouth once a day"}],
    }


# So that every one of the three has allergies (clinosim found none), the same kind of restricted
# laboratory result, and one restricted record of another kind.
ADDED = [
    allergy(AMINA, "764146007", "Penicillin", "2024-11-11"),
    allergy(BROOK, "764146007", "Penicillin", "2024-02-20"),
    allergy(BROOK, "387406002", "Sulfonamide", "2024-03-10"),
    allergy(CASEY, "387406002", "Sulfonamide", "2024-08-19"),
    hiv_screen(AMINA, "2025-05-12T09:20:00Z"),
    hiv_screen(BROOK, "2025-04-03T10:05:00Z"),
    hiv_screen(CASEY, "2025-06-02T08:45:00Z"),
    condition(AMINA, "F33.1", "Major depressive disorder, recurrent, moderate", "2025-05-20"),
    psychiatry_note(AMINA, "2025-05-20T14:00:00Z"),
    naltrexone(BROOK, "2025-04-10T11:30:00Z"),
    condition(CASEY, "T74.11XA", "Adult physical abuse, confirmed, initial encounter", "2025-06-02"),
]

# clinosim's own identifiers, the AMA's CPT (not free), Japanese procedure codes.
CPT = "http://www.ama-assn.org/go/cpt"
LEFT_OUT = ("urn:clinosim:", CPT, "urn:oid:1.2.392.")

# A backbone element that lost this child says nothing any more, or is not valid.
NEEDED = {"participant": ["individual", "member"], "performer": ["actor", "reference"],
          "diagnosis": ["condition"], "location": ["location"], "relatesTo": ["target"],
          "hospitalization": [], "evidence": ["code"]}


def simulate(folder):
    """Runs clinosim and gives its resources by type."""
    subprocess.run(
        [str(pathlib.Path(sys.executable).parent / "clinosim"), "simulate", "--country", "US",
         "--population", str(POPULATION), "--seed", str(SEED), "--start", START, "--end", END,
         "--output", folder, "--format", "fhir-r4"],
        check=True, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    resources = []
    for kind in sorted((set(PREFIX))):
        path = pathlib.Path(folder) / "fhir_r4" / f"{kind}.ndjson"
        resources += [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return resources


def owner_of(resource):
    if resource["resourceType"] == "Patient":
        return resource["id"]
    reference = resource.get("subject") or resource.get("patient") or {}
    return reference.get("reference", "").removeprefix("Patient/")


def kind_of(resource):
    kind = resource["resourceType"]
    if kind == "Observation":
        return f"Observation {resource['category'][0]['coding'][0]['code']}"
    return kind


def when_of(resource):
    for name in ("effectiveDateTime", "effectivePeriod", "performedDateTime", "performedPeriod", "period",
                 "occurrenceDateTime", "authoredOn", "date", "recordedDate", "issued"):
        value = resource.get(name)
        if isinstance(value, dict):
            value = value.get("start")
        if value:
            return value
    return resource.get("meta", {}).get("lastUpdated", END)


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for child in value.values():
            yield from references(child)
    elif isinstance(value, list):
        for child in value:
            yield from references(child)


def select(resources):
    """The three people's newest records, and the shared resources these refer to."""
    chosen = []
    for owner in PEOPLE:
        for kind, limit in KEPT.items():
            mine = [r for r in resources if owner_of(r) == owner and kind_of(r) == kind]
            mine.sort(key=lambda r: (when_of(r), r["id"]), reverse=True)
            chosen += mine[:limit]
    chosen += ADDED
    shared = {f"{r['resourceType']}/{r['id']}": r for r in resources if r["resourceType"] in SHARED}
    wanted, frontier = set(), chosen
    while frontier:
        found = {ref for r in frontier for ref in references(r) if ref in shared} - wanted
        wanted |= found
        frontier = [shared[ref] for ref in sorted(found)]
    return chosen + [shared[ref] for ref in sorted(wanted)]


def prune(value, kept, ids):
    """Removes references to what was left out and codes that are not ours to give; renames the rest."""
    if isinstance(value, list):
        items = [prune(item, kept, ids) for item in value]
        return [item for item in items if item not in (None, {}, [])]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("reference"), str):
        if value["reference"] not in kept:
            return None
        kind, name = value["reference"].split("/")
        return {**value, "reference": f"{kind}/{ids[kind, name]}"}
    if value.get("system", "").startswith(LEFT_OUT):
        return None
    result = {}
    for key, child in value.items():
        child = prune(child, kept, ids)
        if key in NEEDED and isinstance(child, list):
            child = [c for c in child if any(name in c for name in NEEDED[key])]
        if key == "referenceRange":
            child = child[:1]
        if key == "category" and isinstance(child, list):
            child = [{k: v for k, v in c.items() if k != "text"} if "coding" in c else c
                     for c in child if isinstance(c, dict)] or child
        if child not in (None, {}, []):
            result[key] = child
    return result


def label(resource):
    """`meta.security` by code; Confidentiality first."""
    codings = {(c["system"], c["code"])
               for field in ("code", "type", "medicationCodeableConcept", "reasonCode")
               for one in [resource.get(field)] for concept_ in (one if isinstance(one, list) else [one])
               if isinstance(concept_, dict)
               for c in concept_.get("coding", [])}
    for system, start, confidentiality, sensitivities in LABELS:
        if any(s == system and c.startswith(start) for s, c in codings):
            break
    else:
        confidentiality, sensitivities = "N", []
    return ([{"system": CONFIDENTIALITY, "code": confidentiality}]
            + [{"system": ACT_CODE, "code": code} for code in sensitivities])


def finish(resource, kept, ids):
    """One resource as it is served: our id, our name, our labels, keys in a fixed order."""
    kind, name = resource["resourceType"], resource["id"]
    result = prune(resource, kept, ids)
    result["id"] = ids[kind, name]
    when = when_of(resource)
    if len(when) == 10:
        when += "T00:00:00Z"
    security = label(resource)
    result["meta"] = {"lastUpdated": resource.get("meta", {}).get("lastUpdated", when), "security": security}
    if "securityLabel" in result or kind == "DocumentReference":
        result["securityLabel"] = [{"coding": [coding]} for coding in security]
    if kind == "Patient":
        given, family = PEOPLE[name]
        result["name"] = [{"use": "official", "family": family, "given": [given]}]
        result.pop("contact", None)
        result["identifier"][0]["value"] = "MRN-" + ids[kind, name].removeprefix("pat-").upper()
    codings = resource.get("code", {}).get("coding", [])
    if kind == "Procedure" and any(c["system"] == CPT for c in codings):
        result["code"] = {"text": codings[-1]["display"]}
    if kind == "CareTeam":
        result["name"] = "Care team for an encounter"
    head = {"resourceType": kind, "id": result["id"], "meta": result["meta"]}
    return {**head, **{key: result[key] for key in sorted(result) if key not in head}}


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="compare, write nothing")
    check = arguments.parse_args().check

    with tempfile.TemporaryDirectory() as folder:
        chosen = select(simulate(folder))
    kept = {f"{r['resourceType']}/{r['id']}" for r in chosen}
    ids = {(r["resourceType"], r["id"]):
           f"{PREFIX[r['resourceType']]}-{hashlib.sha256((r['resourceType'] + r['id']).encode()).hexdigest()[:12]}"
           for r in chosen}
    lines = [json.dumps(finish(r, kept, ids), ensure_ascii=False, separators=(",", ":")) for r in chosen]
    output = ("\n".join(lines) + "\n").encode()

    if not check:
        OUTPUT.write_bytes(output)
        print(f"{OUTPUT}: {len(lines)} resources, {len(output)} bytes")
    elif OUTPUT.read_bytes() != output:
        sys.exit(f"{OUTPUT} is not what this script makes")
    else:
        print(f"{OUTPUT}: as made")


if __name__ == "__main__":
    main()

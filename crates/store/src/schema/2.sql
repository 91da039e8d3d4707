-- What each disclosure's record says of its recipient, and whether it gets a receipt, is read with the standing of the token, in the
-- same round trip; so it stands beside the draft, which stays the registration.

ALTER TABLE clients ADD COLUMN purpose TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN basis TEXT;
ALTER TABLE clients ADD COLUMN receipts {int} NOT NULL DEFAULT 0;
UPDATE clients SET purpose = {draft_purpose},
    receipts = CASE WHEN draft LIKE '%"receipts":true%' THEN 1 ELSE 0 END;

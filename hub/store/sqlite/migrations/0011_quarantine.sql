-- A node that fails where others do not: JSON of hub/core/model.ts Quarantine without its clock, or null. An older hub gives it
-- work like any other.
ALTER TABLE nodes ADD COLUMN quarantine TEXT;

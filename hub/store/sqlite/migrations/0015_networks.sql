-- Where a node is, as far as replicas of a job must not be in one place: its network as of its last hello, '' if it has said none since
-- then, and the computer of a volunteer that its virtual machine is on. An older hub leaves both as they are.
ALTER TABLE nodes ADD COLUMN network TEXT NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN host INTEGER;
UPDATE nodes SET host = (SELECT host FROM launches WHERE launches.node = nodes.id ORDER BY launches.id DESC LIMIT 1);

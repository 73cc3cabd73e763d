-- Gathering asks whether a blob is a stageout of the gathered campaign, once for each blob that an agent fetches.
CREATE INDEX results_stageouts ON results (campaign, stageout) WHERE stageout IS NOT NULL;

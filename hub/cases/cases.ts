// All that the hub does for those who ask it, as fronts get it.

import type { Caller } from "../auth/tokens.ts"
import { Access, type AccessParts } from "./access.ts"
import { Campaigns } from "./campaigns.ts"
import { Files } from "./files.ts"
import { Jobs } from "./jobs.ts"
import { Nodes } from "./nodes.ts"
import { Outputs } from "./outputs.ts"
import type { CaseParts } from "./parts.ts"
import { type OwnQuota, quotaOf } from "./quotas.ts"
import { Submits } from "./submit.ts"

export class Cases {
  readonly submits: Submits
  readonly campaigns: Campaigns
  readonly jobs: Jobs
  readonly files: Files
  readonly outputs: Outputs
  readonly nodes: Nodes
  readonly access: Access
  /** What the caller has and may have. */
  readonly quota: (caller: Caller) => OwnQuota

  constructor(parts: CaseParts & AccessParts) {
    this.submits = new Submits(parts)
    this.jobs = new Jobs(parts)
    this.campaigns = new Campaigns({ ...parts, jobs: this.jobs })
    this.files = new Files(parts)
    this.outputs = new Outputs(parts)
    this.nodes = new Nodes(parts)
    this.access = new Access(parts)
    this.quota = ({ principal }) => quotaOf(parts, principal)
  }
}

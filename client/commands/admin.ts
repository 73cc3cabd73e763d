// cah admin: what only an operator may do. A group; each of its verbs has a file of its own.
import type { Command } from "commander"
import { examples, type Group } from "../verb.ts"
import { backup } from "./backup.ts"
import { enrol } from "./enrol.ts"
import { share } from "./share.ts"
import { token } from "./token.ts"

export const admin: Group = {
  define(command: Command): void {
    command
      .description(
        "What an operator does: tokens for people, enrolments for agents, shares, backups. See also cah nodes.",
      )
      .addHelpText(
        "after",
        examples(
          "cah admin token create ada --file ada.token",
          "cah admin enrol --uses 10 --for 1d",
          "cah admin share ls",
          "cah admin backup --keep 7",
        ),
      )
  },
  verbs: {
    token: { summary: "tokens with which people and programs ask the hub", verb: token },
    enrol: { summary: "let new agents join", verb: enrol },
    backup: { summary: "copy all that the hub has to where its --backups says", verb: backup },
    share: { summary: "who gets how much when all want more than there is", verb: share },
  },
}

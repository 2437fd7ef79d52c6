// Words of the wire that several suites use.

export const JSON_PROTOCOL = "json.webpubsub.azure.v1";
export const RELIABLE_JSON_PROTOCOL = "json.reliable.webpubsub.azure.v1";
export const EVERY_ROLE = ["webpubsub.joinLeaveGroup", "webpubsub.sendToGroup"];

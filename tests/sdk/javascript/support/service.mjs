// Service clients of `@azure/web-pubsub`, which note the methods that a test calls.

import { WebPubSubServiceClient } from "@azure/web-pubsub";

/** What the package offers: the methods of its client and of the client's groups. */
export const METHODS = methods();

/** A client for a hub. Over https it is what a user writes; over http it has to be asked. */
export function serviceFor(server, hub, { key, called = new Set() } = {}) {
  const service = new WebPubSubServiceClient(server.connectionString(key), hub, {
    ...(server.scheme === "http" && { allowInsecureConnection: true }),
    retryOptions: { maxRetries: 0 },
  });
  return noting(service, "service", called);
}

function noting(object, name, called) {
  return new Proxy(object, {
    get(target, property) {
      const value = Reflect.get(target, property);
      if (typeof value !== "function") {
        return value;
      }
      return (...args) => {
        called.add(`${name}.${property}`);
        const result = value.apply(target, args);
        return property === "group" ? noting(result, "group", called) : result;
      };
    },
  });
}

function methods() {
  const service = new WebPubSubServiceClient("Endpoint=https://localhost;AccessKey=k;", "hub");
  const names = (object, name) =>
    Object.getOwnPropertyNames(Object.getPrototypeOf(object))
      .filter((method) => method !== "constructor")
      .map((method) => `${name}.${method}`);
  return [...names(service, "service"), ...names(service.group("g"), "group")].sort();
}

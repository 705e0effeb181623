import * as gateway from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1';
import * as monitoring from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import * as apps from 'kubernetes-models/apps/v1';
import * as autoscaling from 'kubernetes-models/autoscaling/v2';
import * as networking from 'kubernetes-models/networking.k8s.io/v1';
import * as policy from 'kubernetes-models/policy/v1';
import * as core from 'kubernetes-models/v1';

export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

/**
 * A class with a validator compiled from an OpenAPI document: of Kubernetes 1.27, the Gateway API or the Prometheus
 * Operator.
 */
interface Model {
  readonly prototype: { validate(): void };
}

/** The API versions that `deploy/` uses. All are stable, so newer versions of Kubernetes have them too. */
const models: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  v1: core,
  'apps/v1': apps,
  'autoscaling/v2': autoscaling,
  'gateway.networking.k8s.io/v1': gateway,
  'networking.k8s.io/v1': networking,
  'policy/v1': policy,
  'monitoring.coreos.com/v1': monitoring,
};

/** @returns what the schema of this kind does not allow: wrong types, missing fields and unknown fields */
export function schemaViolations(resource: Resource): string[] {
  const { apiVersion, kind } = resource;
  const model = models[apiVersion]?.[kind] as Model | undefined;
  if (!model) return [`no schema for ${kind} of ${apiVersion}`];
  // A validator ignores unknown fields, for example misspelled ones. But it reads each field that it knows.
  const unread = new Set<string>();
  const unknown = () => [...unread].map((path) => `${kind}: unknown field ${path}`);
  try {
    // The older validators look for their schema on the prototype.
    const instance = Object.assign(Object.create(model.prototype), resource);
    model.prototype.validate.call(observed(instance, '', unread, new WeakMap()));
    return unknown();
  } catch (error) {
    return [`${kind}: ${error instanceof Error ? error.message : error}`, ...unknown()];
  }
}

/** Returns a view of `value` that removes each field from `unread` when it is read. */
function observed<T>(value: T, path: string, unread: Set<string>, views: WeakMap<object, object>): T {
  if (typeof value !== 'object' || value === null) return value;
  const known = views.get(value);
  if (known) return known as T;
  if (!Array.isArray(value)) for (const key of Object.keys(value)) unread.add(`${path}/${key}`);
  const view = new Proxy(value, {
    get(target, key) {
      const childPath = `${path}/${String(key)}`;
      unread.delete(childPath);
      return observed(Reflect.get(target, key), childPath, unread, views);
    },
  });
  views.set(value, view);
  return view;
}

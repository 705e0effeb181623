/** One edition of the customer's app as the vendor knows it. All but `name` comes from the vendor. */
export interface VendorApp {
  /** What the customer calls it, e.g. `ios`. */
  readonly name: string;
  readonly appId: string;
  readonly appToken: string;
  /** Keys the signatures. */
  readonly appKey: string;
  /** `X-IotVideo-AccessID`; the `appId` unless the vendor says otherwise. */
  readonly accessId: string;
}

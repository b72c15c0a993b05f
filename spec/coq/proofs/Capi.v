(** The functions of the C API: what they check, and which methods they are. *)
From stdpp Require Import base numbers gmap strings list.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
Local Open Scope N_scope.

Section capi.
  Context {M : Type} `{Bindings M}.
  Context (through_cache : bool).
  Implicit Types s : state M.
  Notation operate := (operate through_cache).

  (** CAPI-1, CAPI-3, CAPI-4. *)
  Theorem capi_makes th s :
    (forall c, operate th (OpCapiNew c) s = operate th (OpContext c) s) /\
    (forall c, operate th (OpCapiCopyCurrent c) s = operate th (OpCopyContext c) s) /\
    (forall name initial v, operate th (OpCapiVarNew name initial v) s = operate th (OpContextVar name None initial v) s).
  Proof. auto. Qed.

  (** CAPI-5: as get, but that nothing is found is no error. *)
  Theorem capi_get th v given s :
    operate th (OpCapiVarGet (ObjectVariable v) given) s =
      ((operate th (OpVarGet v given) s).1,
       match (operate th (OpVarGet v given) s).2 with Error (LookupError _) => NotFound | other => other end).
  Proof. cbn. destruct (get through_cache th v given s) as [s' [ | | | | | | | | | | |[]| | ]]; reflexivity. Qed.

  (** ENTER-2, EXIT-2, CAPI-2. *)
  Theorem capi_expects_context th o s : is_bound s o = true -> (forall c, o <> ObjectContext c) ->
    operate th (OpEnter o) s = (s, Error CapiContextExpected) /\
    operate th (OpExit o) s = (s, Error CapiContextExpected) /\
    forall made, operate th (OpCapiCopy o made) s = (s, Error CapiContextExpected).
  Proof.
    intros B C. cbn. unfold refuse. rewrite B. destruct o; try (destruct (C _ eq_refl)); auto.
  Qed.

  (** CAPI-6 to CAPI-8. *)
  Theorem capi_expects_variable th o s : is_bound s o = true -> (forall v, o <> ObjectVariable v) ->
    (forall given, operate th (OpCapiVarGet o given) s = (s, Error CapiVariableExpected)) /\
    (forall b made, operate th (OpCapiVarSet o b made) s = (s, Error CapiVariableExpected)) /\
    (forall k, is_bound s k = true -> operate th (OpCapiVarReset o k) s = (s, Error CapiVariableExpected)).
  Proof.
    intros B V. repeat split; intros; cbn [Machine.operate]; unfold refuse; rewrite ?B;
      try (match goal with E : is_bound _ _ = true |- _ => rewrite ?E end);
      destruct o; try (destruct (V _ eq_refl)); rewrite ?B; try reflexivity;
      repeat match goal with E : is_bound s ?k = true |- _ => rewrite E; clear E end; cbn; reflexivity.
  Qed.

  (** CAPI-8: the token is checked after the variable. *)
  Theorem capi_expects_token th v k s : is_bound s (ObjectVariable v) = true -> is_bound s k = true ->
    (forall id, k <> ObjectToken id) ->
    operate th (OpCapiVarReset (ObjectVariable v) k) s = (s, Error CapiTokenExpected).
  Proof.
    intros B K T. cbn [Machine.operate]. unfold refuse. rewrite B, K. destruct k; try reflexivity. destruct (T _ eq_refl).
  Qed.
End capi.
